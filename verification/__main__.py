"""Rerun in a copy what is not up to date, and compare it with what is committed: `make verify`."""

if __name__ == "__main__":
    from verification.command import main

    main()
