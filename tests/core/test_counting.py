from core.counting import count


def test_one_is_one_and_all_else_is_many():
    assert [count(n, "image") for n in (0, 1, 2, 1000)] == ["0 images", "1 image", "2 images", "1000 images"]
    assert [count(n, "box", "boxes") for n in (1, 3)] == ["1 box", "3 boxes"]
