import torch

from pipeline.explanations.contrast import prediction_and_contrast


def test_first_and_second_most_probable_class():
    logits = torch.randn(40, 10, generator=torch.Generator().manual_seed(1))
    prediction, contrast = prediction_and_contrast(logits)
    order = logits.numpy().argsort(1)
    assert prediction.tolist() == order[:, -1].tolist()
    assert contrast.tolist() == order[:, -2].tolist()
