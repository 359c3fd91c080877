"""What params.yaml may contain: a pydantic model per section, validated before any stage works.

Every error is one line that names the file, the key, what is allowed, and the value:
``params.yaml: robust_reg: must be ≥ 0, got -1``.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core import params_choices as choice
from pipeline.core import params_types as kind
from pipeline.core.errors import PipelineError
from pipeline.core.params_choices import VARIANTS, DatasetFacts, collection_of
from pipeline.core.params_errors import Problem, did_you_mean, explain
from pipeline.core.params_tables import as_written, expanded
from pipeline.core.params_types import Section

Entry = TypeVar("Entry")

REVIEW = "review2020"  # on tables this variant takes the features for the concepts


class Texts(Section):
    """How texts are prepared (pipeline/data/texts.py).

    vocabulary : words that have an embedding of their own, at most: the most frequent ones in the
        training documents. All others share one.
    min_count : how often such a word occurs there, at least.
    max_length : words of a document, from the first, at most.
    embedding_size : numbers of a word's embedding.
    """

    vocabulary: kind.Count
    min_count: kind.Count
    max_length: kind.Count
    embedding_size: kind.Count

    @property
    def input_shape(self) -> tuple[int, int]:
        """Shape of a text."""
        return self.max_length, self.embedding_size


class Robustness(Section):
    """How the robustness loss L_θ is computed (pipeline/training/robustness.py).

    variant : the published code whose residual is used; `paper2018` is the paper's formula.
    reduction : `batch`, one norm over the batch; `example`, the mean of per-example norms.
    probes : `exact`, one VJP per class; or the number of Rademacher probes that estimate it.
    """

    variant: choice.Variant
    reduction: kind.Reduction
    probes: kind.Probes


class Compute(Section):
    """Which machines train and measure; no result depends on it.

    engine : `local`, this machine; `ray`, the nodes of a cluster (pipeline/core/cluster.py).
    cores_per_task : cores a node reserves for each task on the CPU; the task uses one.
    """

    engine: Literal["local", "ray"] = "local"
    cores_per_task: kind.Count = 1


class Vae(Section):
    """The β-VAE: its architecture, and which of the published objectives it minimises.

    num_concepts : latent dimensions K.
    hidden_sizes : units of the encoder's hidden layers; the decoder mirrors them.
    objective : reconstruction error as a mean over pixels (`review2020`) or a sum (`elbo`).
    target : reconstruct normalised pixels (`review2020`), or pixels in [0, 1] (`unit`).
    """

    num_concepts: kind.Count
    hidden_sizes: kind.SomeSizes
    objective: Literal["review2020", "elbo"]
    target: Literal["review2020", "unit"]


class Pretrain(Section):
    """Pretraining of the β-VAE with Adam; one per seed, shared by all λ.

    dataset : what it is trained on; DiSENN experiments have the same. None of those that are
        normalised by column, as the tables of UCI are.
    pretrain_epochs : passes over the training set.
    pre_beta : β, the weight of the KL divergence, while pretraining.
    lr : Adam's learning rate.
    batch_size : images per step.
    """

    dataset: choice.DatasetName
    pretrain_epochs: kind.Count
    pre_beta: kind.NonNegative
    lr: kind.Positive
    batch_size: kind.Count


class Experiment(Section):
    """An experiment: a model on a dataset, and how its cells are trained (with Adam).

    An entry with `tables` stands for one experiment per table named there, each with the keys that
    differ from the entry's (pipeline/core/params_tables.py).

    dataset : a name in `datasets`.
    model_class : `SENN`, or `DiSENN`, whose concepts are a β-VAE's latent variables.
    initial_weights : what its training stage depends on: `pipeline/models/building.py`, which draws
        fresh weights, for SENN; `models/vae`, the pretrained β-VAEs, for DiSENN.
    conceptizer : what computes the concepts h(x): its `name`, and its settings.
    parameterizer : what computes the relevances θ(x): its `name`, and its settings.
    aggregator : how contributions become logits; `sum`, f_c = Σ_k θ_kc h_k.
    num_concepts : K; with the identity conceptizer, the number of features, with the words
        conceptizer `texts.max_length`.
    num_classes : C, of the dataset.
    dropout : probability of dropping a unit (a channel after convolutions) in the parameterizer.
    lr : Adam's learning rate.
    epochs : passes over the training set.
    batch_size : examples per step.
    eval_freq : steps between validations.
    select : which validation's weights are kept: those with the best accuracy, as published, or the
        best cross-entropy on the validation split, the first of equals; or the last.
    training_mode_until : how long in an epoch models train with dropout and sampled latents: to
        its end, `epoch_end`; or to its first validation, `first_validation`, as the review's did.
    concept_reg : weight of the concept loss L_h.
    sparsity_reg : ξ, weight of Σ|h| in SENN's concept loss.
    beta : β, weight of the KL divergence in DiSENN's concept loss.
    lambda_grid, seeds : replace the top-level `lambda_grid` and `seeds` for this experiment.
    entry : that has the experiment's dataset among its `tables`; not written, but follows from it.
    """

    dataset: choice.DatasetName
    model_class: Literal["SENN", "DiSENN"]
    initial_weights: Literal["pipeline/models/building.py", "models/vae"]
    conceptizer: choice.AnyConceptizer
    parameterizer: choice.AnyParameterizer
    aggregator: Literal["sum"]
    num_concepts: kind.Count
    num_classes: Annotated[int, Field(ge=2)]
    dropout: kind.Probability
    lr: kind.Positive
    epochs: kind.Count
    batch_size: kind.Count
    eval_freq: kind.Count
    select: kind.Select = "best_validation_accuracy"
    training_mode_until: Literal["epoch_end", "first_validation"] = "epoch_end"
    concept_reg: kind.NonNegative
    sparsity_reg: kind.NonNegative | None = None
    beta: kind.NonNegative | None = None
    lambda_grid: kind.LambdaGrid | None = None
    seeds: kind.Seeds | None = None
    entry: kind.ExperimentName | None = None

    def key(self, name: str) -> str:
        """Where params.yaml has this experiment, called `name`: its entry, if that has tables."""
        return f"experiments.{self.entry or name}"

    def _problems(self) -> Iterator[Problem]:
        disenn = self.model_class == "DiSENN"
        if disenn != (self.conceptizer.name == "vae"):
            fitting = "SENN" if disenn else "DiSENN"
            words = f"must be {fitting} with the {self.conceptizer.name} conceptizer"
            yield "model_class", words, self.model_class
        # So section `vae` reaches DiSENN through its weights, and does not concern SENN.
        expected = "models/vae" if disenn else "pipeline/models/building.py"
        if self.initial_weights != expected:
            words = f"must be {expected} with model_class {self.model_class}"
            yield "initial_weights", words, self.initial_weights
        needed, foreign = ("beta", "sparsity_reg") if disenn else ("sparsity_reg", "beta")
        if getattr(self, needed) is None:
            yield needed, f"must be given with model_class {self.model_class}", None
        if (value := getattr(self, foreign)) is not None:
            yield foreign, f"must be left out with model_class {self.model_class}", value


class Evaluate(Section):
    """Settings of the metrics (pipeline/metrics).

    lipschitz_discrete_radius : ε of the paper's eq. 6, in root-mean-square distances of the
        training points from their mean.
    lipschitz_local_radius : ε of eq. 5, half the box's side in standard deviations of a feature.
    lipschitz_local_steps : steps of projected gradient ascent, per restart.
    lipschitz_local_restarts : random starting points per anchor.
    lipschitz_concept_resolution : smallest concept distance in eq. 5 (smaller ones are raised to
        it), in root-mean-square distances of the training points' concepts from their mean.
    anchors : test points at which stability is measured; of texts, faithfulness, too.
    bootstrap : resamples of test examples, for the 95 % intervals of the methods' scores.
    """

    lipschitz_discrete_radius: kind.Positive
    lipschitz_local_radius: kind.Positive
    lipschitz_local_steps: kind.Count
    lipschitz_local_restarts: kind.Count
    lipschitz_concept_resolution: kind.Positive
    anchors: kind.Anchors
    bootstrap: Annotated[int, Field(ge=100)]


class Explain(Section):
    """Settings of the comparison of explanation methods (pipeline/metrics/comparison.py).

    experiments : entries of section `experiments` whose headline models are explained.
    seeds : how many of an experiment's seeds, from the first; their headline models' explanations
        are scored.
    examples : test examples explained by every method.
    costly_examples : the same for methods that run the model hundreds of times per example.
    curve_steps : steps of a deletion or insertion curve, from nothing to everything.
    lipschitz_neighbours : nearest test points of an example, its neighbourhood in eq. 6.
    lipschitz_points : random points in the box around an example, for eq. 5.
    noise_levels : of Gaussian noise, in standard deviations of each feature.
    power_neighbours : k of the nearest-neighbour classifiers of the explanatory power index.
    """

    experiments: Annotated[tuple[kind.ExperimentName, ...], kind.AnyList, kind.Distinct]
    seeds: kind.Count
    examples: Annotated[int, Field(ge=2)]
    costly_examples: Annotated[int, Field(ge=2)]
    curve_steps: kind.Count
    lipschitz_neighbours: kind.Count
    lipschitz_points: kind.Count
    noise_levels: kind.Levels
    power_neighbours: kind.Counts

    def _problems(self) -> Iterator[Problem]:
        if self.costly_examples > self.examples:
            yield "costly_examples", f"must be ≤ examples, {self.examples}", self.costly_examples


class Rivals(Section):
    """SENN against other methods, by the paper's protocol and a fair one (pipeline/rivals).

    experiments : those whose models are explained.
    robust_reg : robustness strength λ of these models; experiments whose grid lacks it are left
        out.
    seeds, image_seeds : how many of an experiment's seeds, from the first, at most; of tables and
        of images.
    anchors, image_anchors : points at which stability is measured.
    samples : inputs that LIME and SHAP ask the model about, for one explanation.
    evaluations : of the black-box search for equation 5, per anchor.
    lime_evaluations : the same for LIME in the paper's protocol.
    rounds : in which they are made; those of a round are chosen together.
    bootstrap : resamples of anchors, for the 95 % intervals.
    """

    experiments: kind.ExperimentNames
    robust_reg: kind.NonNegative
    seeds: kind.Count
    image_seeds: kind.Count
    anchors: kind.Anchors
    image_anchors: kind.Anchors
    samples: Annotated[int, Field(ge=10)]
    evaluations: kind.Count
    lime_evaluations: kind.Count
    rounds: kind.Count
    bootstrap: Annotated[int, Field(ge=100)]

    def _problems(self) -> Iterator[Problem]:
        for name in ("evaluations", "lime_evaluations"):
            if getattr(self, name) < self.rounds:
                yield name, f"must be ≥ rounds, {self.rounds}", getattr(self, name)


class Certify(Section):
    """How the headline models' local Lipschitz constants are bracketed (metrics/worst_case.py).

    experiments : those whose models are measured.
    seeds : how many of an experiment's seeds, from the first, at most.
    table_anchors, image_anchors : test points.
    table_radii, image_radii : half the box's side, in standard deviations of a feature.
    steps, restarts : of the search, and the random points of the box that it starts from.
    branches : at most, per anchor, in the enumeration of activation patterns.
    """

    experiments: kind.ExperimentNames
    seeds: kind.Count
    table_anchors: kind.Anchors
    table_radii: kind.Levels
    image_anchors: kind.Anchors
    image_radii: kind.Levels
    steps: kind.Count
    restarts: kind.Count
    branches: kind.Count


class Attack(Section):
    """The attack on the headline models' concepts learned from images (metrics/attacks.py).

    seeds : how many of an experiment's seeds, from the first, at most.
    images : test images.
    radii : of the L∞ ball, in raw pixels, which are in [0, 1].
    steps : of the ascent, per radius.
    """

    seeds: kind.Count
    images: kind.Anchors
    radii: kind.Levels
    steps: kind.Count


class Power(Section):
    """The explanatory power of explanations of texts (pipeline/metrics/word_power.py).

    experiments : those whose models are explained.
    seeds : how many of an experiment's seeds, from the first, at most.
    documents : test documents that are drawn, at most.
    neighbours : k of the nearest-neighbour classifiers.
    halves : random halves of the documents that are classified by the other half; even.
    """

    experiments: kind.ExperimentNames
    seeds: kind.Count
    documents: kind.Count
    neighbours: kind.Counts
    halves: kind.EvenCount

    def _problems(self) -> Iterator[Problem]:
        if self.documents < (fewest := 2 * self.neighbours[-1]):
            words = f"must be ≥ {fewest}, for halves with {self.neighbours[-1]} neighbours"
            yield "documents", words, self.documents


class Tokenizer(Section):
    """The network that finds the words of a text without spaces (pipeline/tokenizer).

    dataset : the texts; it learns from those for training, and is measured on those for testing.
    documents : how many of them it learns from, from the first, at most.
    characters : of a piece of text that it reads in training, and around a boundary whose context
        is measured; even.
    hidden_size : units of its state, in each direction.
    epochs : passes over the training texts.
    batch_size : pieces per training step.
    lr : Adam's learning rate.
    seeds : a network each.
    examples : texts that it is measured on, at most.
    """

    dataset: choice.TextsName
    documents: kind.Count
    characters: kind.EvenCount
    hidden_size: kind.Count
    epochs: kind.Count
    batch_size: kind.Count
    lr: kind.Positive
    seeds: kind.Seeds
    examples: kind.Count


class Study(Section):
    """What the study varies in one experiment; everything else is as in the experiment's section.

    variants, reductions : of the robustness loss; every variant is combined with every reduction.
    probes : as `robustness.probes`.
    lambda_grid : robustness strengths λ; all above 0, since the axis is logarithmic.
    seeds : one cell per seed, λ, variant and reduction; at least two, for intervals.
    anchors : as `evaluate.anchors`; all other settings of the metrics are taken from `evaluate`.
    rounding_seeds : how many of `seeds`, from the first, are trained once more, under the run's own
        loss, from initial weights moved by a rounding error; all, if there are fewer.
    """

    variants: choice.Variants
    reductions: kind.Reductions
    probes: kind.Probes
    lambda_grid: kind.SeveralLambdas
    seeds: kind.SeveralSeeds
    anchors: kind.Anchors
    rounding_seeds: Annotated[int, Field(ge=0)] = 0


class Report(Section):
    """What the report shows.

    explanations : examples explained, per experiment.
    prototypes : examples shown per concept.
    """

    explanations: kind.Count
    prototypes: kind.Count


class Params(Section):
    """The whole of params.yaml.

    robust_reg : λ of the headline models: metrics, explanations, report.
    lambda_grid : more λ, for the trade-off curves.
    seeds : one cell per seed and λ; a cell's randomness comes from its seed alone. One β-VAE is
        pretrained per seed.
    device : where to compute: `auto`, `cpu`, `cuda` or `cuda:N`.
    compute : which machines train and measure; may be left out.
    datasets : the datasets, and collections of them, to download and prepare.
    split_seed : seed of the train/valid/test split, which all cells share.
    texts : how texts are prepared.
    robustness : the robustness loss.
    vae : the β-VAE of DiSENN.
    pretrain : how the β-VAE is pretrained.
    experiments : by name; a grid of models each.
    evaluate : settings of the metrics.
    explain : settings of the comparison of explanation methods.
    certify : settings of the bounds on local Lipschitz constants.
    attack : settings of the attack on concepts learned from images.
    rivals : settings of the comparison with other methods, by the paper's protocol and a fair one.
    study : experiments whose robustness loss is varied; may be {}.
    power : the explanatory power of explanations of texts.
    tokenizer : the network that finds the words of a text without spaces.
    report : what the report shows.
    """

    robust_reg: kind.NonNegative
    lambda_grid: kind.LambdaGrid
    seeds: kind.Seeds
    device: kind.Device
    compute: Compute = Compute()
    datasets: choice.CollectionNames
    split_seed: kind.Seed
    texts: Texts
    robustness: Robustness
    vae: Vae
    pretrain: Pretrain
    experiments: Annotated[dict[kind.ExperimentName, Experiment], kind.NotEmpty]
    evaluate: Evaluate
    explain: Explain
    rivals: Rivals
    certify: Certify
    attack: Attack
    study: dict[kind.ExperimentName, Study]
    power: Power
    tokenizer: Tokenizer
    report: Report

    _with_tables = model_validator(mode="before")(expanded)

    def _problems(self) -> Iterator[Problem]:
        experiments = {f"experiments.{name}": e for name, e in self.experiments.items()}
        datasets = {"pretrain": self.pretrain.dataset}
        datasets |= {key: e.dataset for key, e in experiments.items()}
        datasets["tokenizer"] = self.tokenizer.dataset
        for key, dataset in datasets.items():
            if collection_of(dataset) not in self.datasets:
                words = f"must be among datasets ({', '.join(self.datasets)})"
                yield f"{key}.dataset", words, dataset
        yield from self._batch_problems("pretrain", self.pretrain)
        if self.facts_of(self.pretrain.dataset).by_column:
            words = "must be one that is normalised as a whole, not by column, for a β-VAE"
            yield "pretrain.dataset", words, self.pretrain.dataset
        for key, experiment in experiments.items():
            yield from self._batch_problems(key, experiment)
            yield from self._data_problems(key, experiment)
            if experiment.model_class == "DiSENN":
                yield from self._disenn_problems(key, experiment)
        if "vae" in self.experiments:
            words = "must have another name: models/vae is for the β-VAEs"
            yield "experiments.vae", words, "vae"
        for name in self.study:
            yield from self._study_problems(name)
        for key in ("explain", "rivals", "certify", "power"):
            known = self.entries if key == "explain" else self.experiments
            for place, name in enumerate(getattr(self, key).experiments):
                where = f"{key}.experiments[{place}]"
                if name not in known:
                    yield where, f"must be among experiments ({', '.join(known)})", name
                elif key == "rivals" and self._is_on_texts(name):
                    yield where, "must be an experiment on tables or images", name
                elif key == "power" and not self._is_on_texts(name):
                    yield where, "must be an experiment on texts", name
        explained = [n for n in self.experiments if self.entry_of(n) in self.explain.experiments]
        fewest = min(explained, key=lambda name: len(self.seeds_of(name)), default=None)
        if fewest and self.explain.seeds > (count := len(self.seeds_of(fewest))):
            words = f"must be ≤ {count}, the number of seeds of {fewest}"
            yield "explain.seeds", words, self.explain.seeds

        grids = [self.lambda_grid, *(e.lambda_grid or () for e in self.experiments.values())]
        for value in sorted({*chain(*grids)} - {self.robust_reg}):
            if f"{value:g}" == f"{self.robust_reg:g}":
                words = (
                    f"must equal the grid's {value} or differ from it in the first 6 digits "
                    f"(both would be stored as lambda={value:g})"
                )
                yield "robust_reg", words, self.robust_reg

    def _data_problems(self, key: str, experiment: Experiment) -> Iterator[Problem]:
        """Settings with which the experiment's dataset cannot be trained on."""
        data = self.facts_of(experiment.dataset)
        if experiment.num_classes != data.classes:
            words = f"must be {data.classes}, the classes of {experiment.dataset}"
            yield f"{key}.num_classes", words, experiment.num_classes
        fit = experiment.num_concepts, experiment.dropout
        for part in (experiment.conceptizer, experiment.parameterizer):
            if data.kind not in part.kinds:
                words = f"must be one for {data.kind}, inputs have shape {data.input_shape}"
                yield f"{key}.{part.section}.name", words, part.name
                continue
            for name, words, value in part.problems(data, *fit):
                yield f"{key}.{name}", words, value
        if data.kind == "tables" and experiment.conceptizer.name != "identity":
            other = experiment.conceptizer.name
            why = f"on a table it needs the identity conceptizer, {key} has {other}"
            if self.robustness.variant == REVIEW:
                others = " or ".join(variant for variant in VARIANTS if variant != REVIEW)
                yield "robustness.variant", f"must be {others}: {why}", REVIEW
            name = key.removeprefix("experiments.")
            if name in self.study and REVIEW in self.study[name].variants:
                words = f"must not contain {REVIEW}: {why}"
                yield f"study.{name}.variants", words, list(self.study[name].variants)

    def _disenn_problems(self, key: str, experiment: Experiment) -> Iterator[Problem]:
        """DiSENN starts from the pretrained β-VAE, so it has the same data and concepts."""
        if experiment.dataset != self.pretrain.dataset:
            words = f"must be pretrain.dataset, {self.pretrain.dataset}, with model_class DiSENN"
            yield f"{key}.dataset", words, experiment.dataset
        if experiment.num_concepts != self.vae.num_concepts:
            words = f"must be vae.num_concepts, {self.vae.num_concepts}, with model_class DiSENN"
            yield f"{key}.num_concepts", words, experiment.num_concepts
        if not set(experiment.seeds or ()) <= set(self.seeds):
            pretrained = ", ".join(map(str, self.seeds))
            words = f"must be among the top-level seeds, {pretrained}, with model_class DiSENN"
            yield f"{key}.seeds", f"{words}: those have a β-VAE", list(experiment.seeds or ())

    def _study_problems(self, name: str) -> Iterator[Problem]:
        """The study takes SENN only: DiSENN would need a β-VAE for each of the study's seeds."""
        if name not in self.experiments:
            words = f"must be the name of an experiment ({', '.join(self.experiments)})"
            yield f"study.{name}", words, name
        elif (model_class := self.experiments[name].model_class) != "SENN":
            words = f"must be an experiment with model_class SENN, {name} has {model_class}"
            yield f"study.{name}", words, name

    def _batch_problems(self, key: str, trained: Pretrain | Experiment) -> Iterator[Problem]:
        """An epoch has whole batches only, and at least one."""
        examples = self.facts_of(trained.dataset).train
        if trained.batch_size > examples:
            words = f"must be ≤ {examples}, the training examples of {trained.dataset}"
            yield f"{key}.batch_size", words, trained.batch_size

    def _is_on_texts(self, name: str) -> bool:
        return self.facts_of(self.experiments[name].dataset).kind == "texts"

    def facts_of(self, dataset: str) -> DatasetFacts:
        """What is known of `dataset` before it is prepared."""
        return choice.facts_of(dataset, self.texts.input_shape)

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`; a `PipelineError` if there is none."""
        return _entry("experiments", self.experiments, name)

    def group_of(self, name: str) -> str:
        """The entry of `experiments` whose tables experiment `name` is one of; "" if none."""
        return self.experiment(name).entry or ""

    def entry_of(self, name: str) -> str:
        """The entry of `experiments` that stands for experiment `name`, among others or alone."""
        return self.group_of(name) or name

    def names_of(self, entry: str) -> tuple[str, ...]:
        """The experiments that `entry` of params.yaml stands for: one for each of its tables.

        Raises
        ------
        PipelineError
            If there is no such entry.
        """
        return tuple(_entry("experiments", self.entries, entry))

    @property
    def entries(self) -> dict[str, list[str]]:
        """The experiments that each entry of `experiments` stands for, in the order of the file."""
        entries: dict[str, list[str]] = {}
        for name in self.experiments:
            entries.setdefault(self.entry_of(name), []).append(name)
        return entries

    def study_of(self, name: str) -> Study:
        """What the study does with experiment `name`; a `PipelineError` if it is not in it."""
        return _entry("study", self.study, name)

    def compared(self) -> tuple[str, ...]:
        """Those of `rivals.experiments` whose grid has the λ of the comparison.

        The headline λ does not count, so that another one changes no comparison.
        """
        wanted = f"{self.rivals.robust_reg:g}"
        grids = {name: self._grid(name) for name in self.rivals.experiments}
        return tuple(name for name, grid in grids.items() if wanted in map("{:g}".format, grid))

    def lambdas(self, name: str) -> tuple[float, ...]:
        """The robustness strengths λ of experiment `name`: {robust_reg} ∪ its grid, ascending."""
        return tuple(sorted({self.robust_reg, *self._grid(name)}))

    def _grid(self, name: str) -> tuple[float, ...]:
        own = self.experiment(name).lambda_grid
        return self.lambda_grid if own is None else own

    def seeds_of(self, name: str) -> tuple[int, ...]:
        """The seeds of experiment `name`: its own or, if it has none, the top-level ones."""
        return self.experiment(name).seeds or self.seeds


def _entry(key: str, entries: Mapping[str, Entry], name: str) -> Entry:
    """The entry `name` of the section at `key`.

    Raises
    ------
    PipelineError
        If it is not there; says what is.
    """
    if name not in entries:
        names, hint = ", ".join(entries) or "nothing", did_you_mean(name, entries)
        raise PipelineError(f"params.yaml: {key}: has {names}, not {name}{hint}")
    return entries[name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate `path`.

    Raises
    ------
    PipelineError
        One line per problem: file, key, what is allowed, and the value. Whether sections fit
        together is checked once all values are valid by themselves.
    """
    content = None
    try:
        # DVC's parser, YAML 1.2: what is validated here is what DVC compares and passes on.
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return Params.model_validate(content)
    except (OSError, YAMLError, ValueError) as error:  # ValueError: pydantic's, UTF-8's, YAML's
        problems = (as_written(content, line) for line in explain(error, Params))
        lines = dict.fromkeys(f"{path}: {problem}" for problem in problems)
        raise PipelineError("\n".join(lines)) from error
