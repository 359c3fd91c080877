from benchmarks.problems import COMPAS_EXAMPLES, PAPER, compas, mnist
from pipeline.core.dataset import load_dataset
from pipeline.core.params import load_params
from pipeline.data.registry import DATASETS


def test_compas_is_of_the_published_size(tmp_path, raw_data):
    prepared = DATASETS["compas"].prepare(raw_data("compas"), 0)
    sizes = [len(split) for split in (prepared.train, prepared.valid, prepared.test)]
    assert sizes == list(COMPAS_EXAMPLES)
    made_up = load_dataset(compas(tmp_path).data)
    assert [len(made_up.train), len(made_up.valid), len(made_up.test)] == sizes
    assert made_up.input_shape == prepared.train.x.shape[1:]


def test_settings_are_the_published_ones(tmp_path):
    published = load_params(PAPER)
    assert compas(tmp_path).params == published
    assert mnist(tmp_path, "cpu").params == published
    probes = compas(tmp_path).with_probes(1).params
    assert probes.robustness.probes == 1
    assert probes.experiments == published.experiments


def test_images_of_other_classes_and_concepts(tmp_path):
    problem = mnist(tmp_path, "cpu", classes=3, concepts=7)
    experiment, data = problem.params.experiment(problem.name), load_dataset(problem.data)
    assert (experiment.num_classes, experiment.num_concepts) == (3, 7)
    assert set(data.train.y.tolist()) == {0, 1, 2}
    assert len(data.class_names) == 3
    assert len(data.train) % experiment.batch_size == 0
