"""Pretrained models of transformers: from a folder or the Hugging Face hub, by their name there.

Weights are read from safetensors alone and no code that comes with a model is run. What is on this
machine is never looked for elsewhere; what is not is fetched from the hub, once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serlab.bench.errors import BadFile, BadValue, MissingExtra, SerlabError
from serlab.bench.identity import file_hashes

if TYPE_CHECKING:
    import torch

_FETCHED = ("*.json", "*.txt", "*.model", "model*.safetensors")
_DESCRIBING = (".json", ".model", ".safetensors", ".txt")
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")
_NEVER_USED = ("masked_spec_embed", "pooler.dense.bias", "pooler.dense.weight")
"""Weights that no feature here depends on, and that many files leave out."""


class MissingModel(MissingExtra):
    """A pretrained model that is asked for and not to be had: what needs it is skipped."""

    def __init__(self, problem: str) -> None:
        SerlabError.__init__(self, problem)


def folder_of(feature: str, model: str, revision: str) -> Path:
    """The folder that holds a model: the one of that name, else the hub's, fetched if need be.

    Raises:
        MissingExtra: transformers is not installed.
        MissingModel: no model is named, or it is neither here nor can it be fetched.
        BadValue: a revision is asked of a folder.
        BadFile: it has no configuration, or no weights in safetensors.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(feature, "transformers", "encoders")
    if not model:
        raise MissingModel(f"{feature} needs a model: a folder, or a name on the Hugging Face hub")
    found = Path(model).expanduser()
    if found.is_dir():
        if revision:
            raise BadValue("revision", revision, "nothing: a folder has no revisions")
    elif found.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise MissingModel(f"{feature}: there is no folder {model}")
    else:
        found = _from_hub(feature, model, revision)
    if not (found / "config.json").is_file():
        raise BadFile(found, "has no config.json: no model of transformers lies there")
    if not any(found.glob("*.safetensors")):
        raise _without_safetensors(found)
    return found


def _from_hub(feature: str, model: str, revision: str) -> Path:
    """The folder of a snapshot in the hub's own cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": list(_FETCHED)}
    try:
        here = Path(snapshot_download(model, local_files_only=True, **wanted))
        if any(here.glob("*.safetensors")):
            return here
    except (OSError, ValueError):
        pass  # not here, or not a name: asking the hub tells which
    try:
        return Path(snapshot_download(model, **wanted))
    except (OSError, ValueError, HfHubHTTPError) as error:
        version = f" at {revision}" if revision else ""
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingModel(
            f"{feature}: the model {model}{version} is not on this machine, and could not be "
            f'fetched ({reason}); where there is a network: "hf download {model}"'
        ) from None


def _without_safetensors(folder: Path) -> BadFile:
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
    if not pickled:
        return BadFile(folder, "has no weights: no file *.safetensors")
    return BadFile(
        folder,
        f"has its weights as a pickle only ({pickled[0]}), which can run code as it is read: save "
        "the model anew with save_pretrained where you trust it, or name a revision that has "
        "safetensors (on the hub often refs/pr/1)",
    )


def files_of(folder: Path) -> tuple[str, ...]:
    """Paths of the files that say what the model computes: weights, configuration, vocabulary."""
    held = (p for p in folder.iterdir() if p.suffix in _DESCRIBING and p.is_file())
    return tuple(sorted(map(str, held)))


def hashes_of(folder: Path) -> tuple[str, ...]:
    """Their SHA-256, in the same order."""
    return tuple(file_hashes(map(Path, files_of(folder))).values())


# --- parts of a model; transformers has no types of use here -----------------------------------


@lru_cache(maxsize=8)
def config_of(folder: Path, hashes: tuple[str, ...]) -> Any:
    """The configuration. Raises BadFile."""
    from transformers import AutoConfig

    return _part(AutoConfig, folder, "its config.json is none that transformers knows")


@lru_cache(maxsize=8)
def listener_of(folder: Path, hashes: tuple[str, ...]) -> Any:
    """What makes a speech model's input of samples: its "feature extractor". Raises BadFile."""
    from transformers import AutoFeatureExtractor

    names = ("preprocessor_config.json", "processor_config.json")
    if not any((folder / name).is_file() for name in names):
        raise BadFile(folder, f"has no {names[0]}, which tells how the model wants its samples")
    return _part(AutoFeatureExtractor, folder, f"its {names[0]} is not understood")


@lru_cache(maxsize=2)
def tokeniser_of(folder: Path, hashes: tuple[str, ...]) -> Any:
    """What makes a text model's input of a text. Raises BadFile."""
    from transformers import AutoTokenizer

    names = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
    if not any(path for name in names for path in folder.glob(name)):
        # transformers would make one without a word, to which all texts are alike
        raise BadFile(folder, f"has no vocabulary: none of {', '.join(names)}")
    return _part(AutoTokenizer, folder, "has no tokeniser that transformers can load")


@lru_cache(maxsize=1)
def model_of(folder: Path, hashes: tuple[str, ...]) -> Any:
    """The model without heads, in single precision, as in a prediction, on the GPU if there is one.

    The last one that was asked for stays in memory.

    Raises:
        BadFile: the weights are damaged, or some that it needs are not among them.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    with _quiet():
        try:
            model, report = AutoModel.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise _unfit(folder, "its weights cannot be loaded", error) from None
    missing = sorted(name for name in report["missing_keys"] if not name.endswith(_NEVER_USED))
    if missing:
        problem = f"its weights lack {len(missing)} that the model has, such as {missing[0]}"
        raise BadFile(folder, problem)
    return model.eval().requires_grad_(False).to(_device())


def _part(kind: Any, folder: Path, problem: str) -> Any:
    try:
        with _quiet():
            return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise _unfit(folder, problem, error) from None


def _unfit(folder: Path, problem: str, error: Exception) -> BadFile:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BadFile(folder, f"{problem}: {reason}")


def _device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def exact() -> Iterator[None]:
    """Arithmetic of a frozen model: no gradients, no tensor-float rounding on a GPU."""
    import torch

    cudnn = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), cudnn:
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and warnings: what matters of them is an error here."""
    from transformers import utils

    logging: Any = utils.logging  # its functions have no types
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
