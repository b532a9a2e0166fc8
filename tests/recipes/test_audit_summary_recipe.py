import json

import pytest
from common import load_recipe


def measures(seed, auroc, ccc):
    names = (
        "precision_at_100",
        "consensus",
        "majority_vote",
        "dawid_skene",
        "noise_rate_error",
        "confusion_error",
    )
    return {
        "settings": {"seed": seed, "folds": 0},
        "measures": {
            "posterior": {
                "mood": {"auroc": auroc, **dict.fromkeys(names, 0.5)},
                "affect": {
                    "rank_correlation": -0.5,
                    "consensus_ccc": ccc,
                    "mean_vote_ccc": [0.1, 0.2],
                },
            }
        },
    }


def test_summary_over_seeds(tmp_path, capsys):
    summary = load_recipe("audit_summary")
    files = []
    for seed, auroc, ccc in ((0, 0.9, [0.4, 0.6]), (1, 1.0, [0.6, 0.8])):
        files.append(tmp_path / f"{seed}.json")
        files[-1].write_text(json.dumps(measures(seed, auroc, ccc)))
    summary.main(list(map(str, files)))
    printed = capsys.readouterr().out
    assert "posterior, one model  0.950 ± 0.071" in printed
    assert "-0.500 ± 0.000    0.600 ± 0.141  0.150 ± 0.000" in printed
    # Where no label is wrong.
    files[0].write_text(json.dumps(measures(0, None, [0.4, 0.6])))
    summary.main([str(files[0])])
    assert "posterior, one model    nan" in capsys.readouterr().out
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(SystemExit):
        summary.main([str(tmp_path / "other.json")])
    assert "is no measures.json of an audit" in capsys.readouterr().err
