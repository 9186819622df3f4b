from dml_instance.data.datasets.builtin import _dev_part, _fit_part


def test_fit_and_dev_share_no_image_and_lose_none():
    records = [{"file_name": f"{name}.png"} for name in "qwertzuiopasdfghjkl"]
    fit, dev = _fit_part(5, records), _dev_part(5, records)
    names = [record["file_name"] for record in fit + dev]
    assert sorted(names) == sorted(record["file_name"] for record in records)
    assert len(dev) == 4
