"""Everything a run produced, read from its files when asked for."""

from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pipeline.claims.published import deviations
from pipeline.core.cells import Cell, grid, rows_at
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_table
from pipeline.core.params import Experiment, Vae, load_params
from pipeline.core.params_choices import implementation
from pipeline.core.tensors import read_tensors
from pipeline.explanations.latents import active_units
from pipeline.metrics.intervals import Interval, share_interval
from pipeline.metrics.neighbours import NeighbourStudy, nearest_neighbours, neighbour_study
from pipeline.models.building import Inputs, build_vae
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.models.senn import Senn, SennOutput
from pipeline.models.weights import load_cell

NEIGHBOURS = 5
LATENT_SPACE, PIXELS = "latent space", "pixels"


class ExperimentResults:
    """One experiment of a run."""

    def __init__(self, name: str, run: "Results") -> None:
        self.name, self._run, self.params = name, run, run.params
        self.settings: Experiment = run.params.experiment(name)
        self.robust_reg, self.seeds = run.params.robust_reg, run.params.seeds_of(name)
        self._models = run.models / run.params.group_of(name)
        self.lambdas = run.params.lambdas(name)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell, with its metrics; only cells of the grid that params.yaml asks for."""
        path, table = self._path("cells"), self._table("cells")
        wanted = grid(self.params, self.name)
        # Cells are told apart by their names, λ thus by six digits, as file names are.
        pairs = zip(table["robust_reg"], table["seed"], strict=True)
        rows = {str(Cell(self.name, *pair)): row for row, pair in enumerate(pairs)}
        for cell in wanted:
            if str(cell) not in rows:
                raise PipelineError(
                    f"{path}: no row for λ={cell.robust_reg:g} seed={cell.seed}, which "
                    "params.yaml asks for. Run `dvc repro`."
                )
        chosen = table.iloc[[rows[str(cell)] for cell in wanted]]
        return chosen.assign(robust_reg=[cell.robust_reg for cell in wanted])

    @cached_property
    def headline(self) -> pd.DataFrame:
        """The rows of `cells` with the headline λ, one a seed."""
        return rows_at(self.cells, self.robust_reg)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row a cell and validation: robust_reg, seed, step, losses, valid_accuracy."""
        return self._table("curves")

    @cached_property
    def methods(self) -> pd.DataFrame:
        """One row an explanation method, with its scores."""
        return self._table("methods")

    @cached_property
    def method_curves(self) -> pd.DataFrame:
        """One row a point of an explanation method's curves: curve, method, position, value."""
        return self._table("methods_curves")

    @cached_property
    def worst_case(self) -> pd.DataFrame:
        """One row a quantity and radius of the worst case: value, value_low, value_high."""
        return self._table("worst_case")

    @cached_property
    def power(self) -> pd.DataFrame:
        """One row a kind of word weights: its explanatory power index; empty for no texts."""
        rows = read_table(self._run.reports / "text" / "power.csv")
        return rows[rows["experiment"] == self.name].reset_index(drop=True)

    @property
    def study(self) -> pd.DataFrame:
        """Its study: one row a cell, with the study's references."""
        return read_table(self._run.reports / "study" / f"{self.name}.csv")

    @property
    def roundings(self) -> pd.DataFrame:
        """What rounding does to it, one row a cell; empty if that is not studied."""
        return read_table(self._run.reports / "roundings" / f"{self.name}.csv")

    @property
    def data(self) -> Dataset:
        """Its dataset, on the CPU."""
        return self._run.dataset(self.settings.dataset)

    @property
    def has_images(self) -> bool:
        """Whether its inputs are images."""
        return self.data.kind == "images"

    @property
    def learns_concepts(self) -> bool:
        """Whether its concepts are learned, rather than the raw features or words."""
        return not implementation(self.settings.conceptizer.built_by).are_inputs

    @property
    def is_disenn(self) -> bool:
        """Whether its concepts are a VAE's latent variables."""
        return self.settings.model_class == "DiSENN"

    @property
    def title(self) -> str:
        """Model and dataset: ``SENN on compas``."""
        return f"{self.settings.model_class} on {self.settings.dataset}"

    @property
    def deviations(self) -> tuple[str, ...]:
        """Where it departs from how the published numbers were made."""
        return deviations(self.params, self.name)

    @cached_property
    def linear(self) -> Interval | None:
        """Test accuracy of a linear classifier of features or words; None for learned concepts.

        Its interval is over test examples alone: its training has no chance in it.
        """
        if self.learns_concepts:
            return None
        return share_interval(self.cells["linear_accuracy"].iloc[0], len(self.data.test))

    @cached_property
    def model(self) -> Senn:
        """The model that is explained: the headline λ's, of the first seed."""
        return self.model_of(self.robust_reg, self.seeds[0])

    @cached_property
    def metadata(self) -> list[dict[str, Any]]:
        """The metadata of every cell's weights, in the order of the grid."""
        return [read_tensors(cell.path(self._models))[1] for cell in grid(self.params, self.name)]

    @cached_property
    def test_outputs(self) -> list[SennOutput]:
        """What the headline λ's models say of the whole test set, one a seed."""
        outputs = []
        for seed in self.seeds:
            model = self.model if seed == self.seeds[0] else self.model_of(self.robust_reg, seed)
            batches = [model(x) for x in self.data.test.x.split(500)]
            logits, concepts, relevances, rebuilt = (
                torch.cat([batch[field] for batch in batches]) for field in range(4)
            )
            outputs.append(SennOutput(logits, concepts, relevances, rebuilt, None))
        return outputs

    @cached_property
    def why_no_latent_space(self) -> str:
        """Why neighbours cannot be sought in the β-VAE's latent space; empty if they can."""
        pretrain, x = self.params.pretrain, self.data.test.x
        if self.settings.dataset != pretrain.dataset:
            return f"the β-VAE was trained on {pretrain.dataset}"
        if not set(self.seeds) <= set(self.params.seeds):
            return "not all of its seeds have a β-VAE"
        vaes = [self._run.vae(seed) for seed in self.seeds]
        if not all(active_units(vae.posterior(x)) for vae in vaes):
            return "the β-VAE has collapsed to its prior"
        return ""

    @cached_property
    def neighbour_studies(self) -> dict[str, list[NeighbourStudy]]:
        """`neighbour_study` of the test set, one a seed, by the space neighbours are sought in.

        In the latent space of the seed's pretrained β-VAE, as in the review, if that can be; and in
        pixels. Claims rest on the first.
        """
        return {
            space: [
                neighbour_study(
                    self._run.neighbours(self.settings.dataset, seed if latent else None),
                    output.concepts,
                    output.relevances,
                    output.logits.argmax(1),
                )
                for seed, output in zip(self.seeds, self.test_outputs, strict=True)
            ]
            for space, latent in ((LATENT_SPACE, True), (PIXELS, False))
            if not (latent and self.why_no_latent_space)
        }

    def model_of(self, robust_reg: float, seed: int) -> Senn:
        """The model of one cell of the grid, in evaluation mode."""
        return load_cell(Cell(self.name, robust_reg, seed).path(self._models))[0]

    def _path(self, folder: str) -> Path:
        """Where its entry of params.yaml has its rows."""
        entry = self.params.entry_of(self.name)
        return self._run.reports / folder / f"{entry}.csv"

    def _table(self, folder: str) -> pd.DataFrame:
        rows = read_table(self._path(folder))
        return rows[rows["experiment"] == self.name].reset_index(drop=True)


class Results:
    """A run: its params and its experiments, in the order of params.yaml.

    What experiments share is made once: datasets, β-VAEs, neighbours in test sets.

    Parameters
    ----------
    params_file, models, prepared, reports : where its files are.

    Attributes
    ----------
    full : reports of the full run, that of presets/paper.yaml, where they are.
    experiments : those with an entry of their own in params.yaml, by name, but for texts.
    tables : those that are one of several of an entry.
    texts : those on texts.
    """

    def __init__(self, params_file: str, models: str, prepared: str, reports: str) -> None:
        self.params, self.models = load_params(Path(params_file)), Path(models)
        self.reports, self.full = Path(reports), Path(reports, "paper")
        self.dataset = cache(lambda name: load_dataset(Path(prepared, name)))
        self.vae = cache(self._vae)
        self.neighbours = cache(self._neighbours)
        results = {name: ExperimentResults(name, self) for name in self.params.experiments}
        self.experiments: dict[str, ExperimentResults] = {}
        self.tables: dict[str, ExperimentResults] = {}
        self.texts: dict[str, ExperimentResults] = {}
        for name, one in results.items():
            is_text = self.params.facts_of(one.settings.dataset).kind == "texts"
            is_table = bool(self.params.group_of(name))
            among = self.texts if is_text else self.tables if is_table else self.experiments
            among[name] = one

    @property
    def everything(self) -> dict[str, ExperimentResults]:
        """All experiments."""
        return self.experiments | self.tables | self.texts

    @property
    def pretrained(self) -> bool:
        """Whether an experiment started from the pretrained β-VAE."""
        experiments = self.params.experiments.values()
        return any(experiment.initial_weights == "models/vae" for experiment in experiments)

    @cached_property
    def rivals(self) -> dict[str, pd.DataFrame]:
        """SENN beside other methods, by experiment: tables of `pipeline.rivals`."""
        folder = self.reports / "rivals"
        return {name: read_table(folder / f"{name}.csv") for name in self.params.compared()}

    @cached_property
    def tokenizer(self) -> pd.DataFrame:
        """One row a quantity of the tokenizer: value, value_low, value_high."""
        return read_table(self.reports / "text" / "tokenizer.csv")

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row a claim, as stage `report` judged it before this page was made."""
        return read_table(self.reports / "claims.csv")

    @cached_property
    def full_verdicts(self) -> pd.DataFrame:
        """`verdicts` of the full run, that of presets/paper.yaml; without it, none."""
        path = self.full / "claims.csv"
        return read_table(path) if path.exists() else self.verdicts.iloc[:0]

    @cached_property
    def vae_curves(self) -> pd.DataFrame:
        """One row a seed and epoch of pretraining."""
        return read_table(self.reports / "curves" / "vae.csv")

    def _vae(self, seed: int) -> VaeConceptizer:
        """The pretrained β-VAE of `seed`, in evaluation mode."""
        weights, about = read_tensors(self.models / "vae" / f"seed={seed}.safetensors")
        inputs = Inputs(tuple(about["input_shape"]), about["mean"], about["std"])
        vae = build_vae(Vae.model_validate(about["params"]["vae"]), inputs, about["seed"])
        vae.load_state_dict(weights)
        return vae.eval().requires_grad_(False)

    def _neighbours(self, name: str, seed: int | None) -> Tensor:
        """Nearest neighbours in test set `name`: in the latent space of `seed`, or in pixels."""
        x = self.dataset(name).test.x
        return nearest_neighbours(x if seed is None else self.vae(seed).encode(x), NEIGHBOURS)
