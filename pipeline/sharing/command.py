"""The command line of pipeline/explain.py."""

import argparse
import io
import json
import os
import sys
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_bytes
from pipeline.core.kinds import Kind
from pipeline.data.texts import RESERVED
from pipeline.explain import MODELS, Model, load, names

_EXAMPLES = """examples:
  python -m pipeline.explain --list
  python -m pipeline.explain compas_senn --set Number_of_Priors=3 --set Age_Below_TwentyFive=yes
  python -m pipeline.explain mnist_senn digit.png
  python -m pipeline.explain mnist_senn digit.png --method integrated_gradients --for 7
  python -m pipeline.explain reuters_senn --text "Oil prices rose after OPEC cut output."
"""
_GIVEN_AS: dict[Kind, str] = {
    "tables": "features (--set FEATURE=VALUE; --list names them)",
    "texts": 'a text (--text "…")',
    "images": "an image file",
}


def main() -> None:
    """Explain one input: print it, and write a figure or, of a text, a page.

    An error is one line, exit code 1.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # terminals may lack a character
    options = _parser().parse_args()
    try:
        if options.model is None:
            print(_models())
            return
        model = load(options.model)
        if options.list:
            print(_described(model))
        else:
            _explain(model, options)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.explain",
        description="Explain one input with a trained model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="?", help="name of a model (--list), or path of its file")
    add("image", nargs="?", help="an image file, for models of images")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FEATURE=VALUE",
        dest="features",
        help="a feature's value, for models of tables; others are as usual in training",
    )
    add("--text", metavar="TEXT", help="a text, for models of texts; - reads standard input")
    add("--method", default="contribution", help="explanation method (default: contribution)")
    add("--for", metavar="CLASS", dest="target", help="explain this class, not the predicted one")
    add(
        "--out",
        metavar="FILE",
        help="the figure (default: explanation.png); of texts a page with coloured words (default: "
        "explanation.html), or a figure if it ends in .png",
    )
    add("--json", action="store_true", help="print JSON, and write no file")
    add("--list", action="store_true", help="the models; of a model, its features and methods")
    return parser


def _explain(model: Model, options: argparse.Namespace) -> None:
    explanation = model.explain(_given(model, options), options.method, options.target)
    if options.json:
        print(json.dumps(explanation.as_dict(), indent=2, ensure_ascii=False))
        return
    from pipeline.reporting.style import png  # slow to import

    print(explanation.text(_shows_colours()))
    is_text = model.kind == "texts"
    out = Path(options.out or ("explanation.html" if is_text else "explanation.png"))
    if is_text and out.suffix.lower() != ".png":
        write_bytes(out, explanation.html().encode())
        print(f"\nPage: {out}")
    else:
        write_bytes(out, png(explanation.plot()))
        print(f"\nFigure: {out}")


def _shows_colours() -> bool:
    """Whether standard output is a terminal with colours (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _given(model: Model, options: argparse.Namespace) -> str | dict[str, str]:
    """The input: an image's path, a text, or values by feature."""
    given = {"tables": options.features, "texts": options.text, "images": options.image}
    taken = _GIVEN_AS[model.kind]
    for kind, how in _GIVEN_AS.items():
        if kind != model.kind and given[kind] not in (None, []):
            raise PipelineError(f"{model}: takes {taken}, not {how}")
    if model.kind == "tables":
        return _features(options.features)
    if given[model.kind] is None:
        raise PipelineError(f"{model}: takes {taken}, and none is given")
    return sys.stdin.read() if options.text == "-" else str(given[model.kind])


def _features(options: list[str]) -> dict[str, str]:
    """Values by feature, of --set FEATURE=VALUE."""
    given: dict[str, str] = {}
    for text in options:
        name, equals, value = text.rpartition("=")  # a name may have one
        if not equals:
            raise PipelineError(f"--set {text}: must be FEATURE=VALUE")
        if name in given:
            raise PipelineError(f"--set {text}: {name} is already {given[name]}; give it once")
        given[name] = value
    return given


def _models() -> str:
    """The models that there are, a line each."""
    if not names():
        raise PipelineError(f"{MODELS}: has no models; `dvc repro` makes them")
    models = {name: load(name) for name in names()}
    lines = [f"{n.removesuffix(m.about['experiment'])}{m}" for n, m in models.items()]
    more = "--list after a model's name shows its features, classes and methods."
    return "\n".join([*lines, "", more])


def _described(model: Model) -> str:
    """What `model` takes and which methods explain it."""
    facts = model.facts
    lines = [str(model), ""]
    if model.kind == "tables":
        width = max(map(len, facts.feature_names))
        lines.append("features, and their values in training")
        for name, plain, scale, ends in zip(
            facts.feature_names,
            facts.plain_names,
            facts.scales,
            facts.feature_range,
            strict=True,
        ):
            low, high = (f"{scale.value(end):.4g}" for end in ends)
            lines.append(f"  {name:<{width}}  {f'{low} to {high}':<12}  {plain}")
    elif model.kind == "texts":
        known = facts.vocabulary[len(RESERVED) :]
        lines.append(f"input: a text; the model reads its first {model.input_shape[0]} words")
        lines.append(f"vocabulary: {len(known):,} words, such as {', '.join(known[:10])}")
    else:
        channels, height, rest = model.input_shape
        lines.append(f"input: an image; it becomes {rest} × {height} pixels, {channels} channel(s)")
    lines += ["", f"classes: {', '.join(facts.class_names)}", "", "methods"]
    width = max(map(len, model.methods))
    lines += [f"  {name:<{width}}  {method.label}" for name, method in model.methods.items()]
    return "\n".join(lines + ([f"\n{facts.caveat}"] if facts.caveat else []))
