"""``python -m benchmarks``; see `command`. Workers import this file too, and need none of it."""

if __name__ == "__main__":
    from benchmarks.command import main
    from pipeline.core.stage import run_stage

    run_stage(main)
