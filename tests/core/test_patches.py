from pipeline.core.patches import patches


def test_patches_of_images_go_through_all_channels():
    colours = patches((3, 6, 9))
    assert colours.shape == (3, 6, 9)
    for channel in colours.tolist():
        assert channel == 4 * [[0] * 4 + [1] * 4 + [2]] + 2 * [[3] * 4 + [4] * 4 + [5]]


def test_patches_of_another_side():
    assert patches((1, 3, 2), side=2).tolist() == [[[0, 0], [0, 0], [1, 1]]]


def test_features_of_tables_are_patches_of_their_own():
    assert patches((5,)).tolist() == [0, 1, 2, 3, 4]
