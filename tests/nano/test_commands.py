"""What the recipe's commands print and draw, and how they refuse what cannot be."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.nano.curves import draw
from autoagent.nano.gpu import WEIGHTS, GpuRecipe
from autoagent.nano.gpu import run as run_gpu
from autoagent.nano.progress import Board, ProgressLine
from autoagent.training.trainer import Progress


def test_progress_off_a_terminal_is_whole_lines() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for step in (1, 2):
        line(Progress(step, 8000 * step, 2.5, 12_345.0, 1.0, 0.25, 60.0, 180.0))
    line.close()
    assert stream.getvalue() == (
        "step 1  0.01M tokens  loss 2.500  12,345 tokens/s  rate 1.00  25%  0:03:00 left\n"
        "step 2  0.02M tokens  loss 2.500  12,345 tokens/s  rate 1.00  25%  0:03:00 left\n"
    )


def test_without_matplotlib_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"needs matplotlib: pip install 'autoagent\[train\]'"):
        draw({}, tmp_path / "loss.svg")


def test_tensorboard_reads_the_loss_by_tokens(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    for step in range(1, 31):
        board(Progress(step, 100 * step, 3.0 - step / 20, 1e4, 1.0, 0.1, 1.0, 1.0))
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [100, 1000, 2000, 3000]
    assert events.Scalars("loss")[-1].value == pytest.approx(1.5)


def nano(folder: Path, *arguments: str) -> str:
    """The one line that a refused command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "autoagent.nano", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.replace("autoagent.nano: error: ", "").strip()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the tokenizer that ships, and nothing else."""
    root = tmp_path_factory.mktemp("work")
    shutil.copytree(WEIGHTS, root / ".nano" / "tokenizer")
    return root


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("data --more read_value=nan", "--more read_value=nan: the factor is a number from 0 on"),
        ("data --more read_value=-2", "--more read_value=-2: the factor is a number from 0 on"),
        ("data --vocabulary 2048", ".nano/tokenizer has 1,536 ids, not 2,048: choose another --work"),
        ("eval nosuch --unranked", "no model folder nosuch"),
        ("eval --card nosuch", "--card nosuch: no model folder; it is that of the model measured"),
        ("eval --human nosuch", "--human nosuch: no such file; benchmarks/human.py --out writes it"),
        ("anneal --from run --name run --tokens 9", "run is the run to go on from: choose another --name"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(work: Path, arguments: str, line: str) -> None:
    assert nano(work, *arguments.split()) == line
    assert sorted(path.name for path in (work / ".nano").iterdir()) == ["tokenizer"]


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / ".nano" / "tokenizer")
    (tmp_path / ".nano" / "tokenizer" / "tokenizer.json").write_text("{", encoding="utf-8")
    line = nano(tmp_path, "data", "--vocabulary", "1536")
    assert line.startswith("cannot read the tokenizer in .nano/tokenizer: ")


def test_the_gpu_recipe_names_a_wrong_size_and_missing_requests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown model preset 'huge'"):
        run_gpu(GpuRecipe(work=tmp_path / "work", size="huge"))
    with pytest.raises(UsageError, match="has no human requests"):
        run_gpu(GpuRecipe(work=tmp_path / "work", human=tmp_path))
    assert not (tmp_path / "work").exists()
