"""Tasks of lm-evaluation-harness on a model folder, without a server.

From a shell, with all that the command `lm_eval` takes:

    python -m quarot.lm_eval run --model quarot --model_args pretrained=DIR,kv_bits=4 --tasks piqa

In Python, importing this module is enough for `lm_eval.simple_evaluate(model="quarot", ...)`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from tqdm import tqdm

from quarot import Model, TextStream, UnsupportedError, UsageError

_SAMPLING = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"}
_GROUPED = 32  # sequences that run at once, unless told
_HARNESS_DEVICE = "cuda:0"  # what the harness gives where nobody named a device


@contextmanager
def _bar(what: str, disable: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that a call of the library moves."""
    with tqdm(desc=what, disable=disable) as bar:

        def move(_what: str, done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move


@register_model("quarot")
class QuarotLM(LM):  # type: ignore[misc, unused-ignore]
    """A folder as it came from Hugging Face, or quantized.

    `batch_size` says how many sequences run at once; results do not depend on it, so that the
    harness's 1 counts as not given. So does its `device` "cuda:0": the first GPU if there is one,
    else the CPU. `max_length` is the longest sequence. `add_bos_token=False`
    leaves out what tokenizer.json puts around texts. Bits and clips replace those of the folder's
    recipe.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        device: str = "auto",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        max_length: int = 0,
        max_gen_toks: int = 256,
        add_bos_token: bool = True,
        threads: int = 0,
        activation_bits: int | None = None,
        kv_bits: int | None = None,
        activation_clip: float | None = None,
        kv_clip: float | None = None,
    ) -> None:
        super().__init__()
        given = max_batch_size if str(batch_size).startswith("auto") else int(batch_size)
        self.sequences = given if given is not None and given > 1 else _GROUPED
        self.max_gen_toks = max_gen_toks
        self.add_bos_token = add_bos_token
        self.model = Model.from_pretrained(
            pretrained,
            device="auto" if device == _HARNESS_DEVICE else device,
            threads=threads,
            context=max_length,
            sequences=self.sequences,
            activation_bits=activation_bits,
            kv_bits=kv_bits,
            activation_clip=activation_clip,
            kv_clip=kv_clip,
        )
        self._pretrained = pretrained

    @property
    def max_length(self) -> int:
        return self.model.context

    @property
    def tokenizer_name(self) -> str:
        return self._pretrained

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        pairs = [request.args for request in requests]
        with _bar("Scoring continuations", disable_tqdm) as move:
            found = self.model.loglikelihood(
                pairs, add_special_tokens=self.add_bos_token, progress=move
            )
        answers = [(one.loglikelihood, one.is_greedy) for one in found]
        for pair, answer in zip(pairs, answers):
            self.cache_hook.add_partial("loglikelihood", pair, answer)
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        windows = [self._windows(*request.args) for request in requests]
        with _bar("Scoring texts", disable_tqdm) as move:
            found = iter(self.model.loglikelihood(list(chain(*windows)), progress=move))
        answers = [sum(next(found).loglikelihood for _ in of_text) for of_text in windows]
        for request, answer in zip(requests, answers):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        running: deque[TextStream] = deque()
        texts: list[str] = []
        with tqdm(total=len(requests), desc="Generating", disable=disable_tqdm) as bar:

            def finish_first() -> None:
                text = running.popleft().result().text
                request = requests[len(texts)]
                self.cache_hook.add_partial("generate_until", request.args, text)
                texts.append(text)
                bar.update()

            for request in requests:
                if len(running) == self.sequences:
                    finish_first()
                running.append(self._stream(*request.args))
            while running:
                finish_first()
        return texts

    def _encode(self, text: str) -> list[int]:
        return self.model.tokenizer.encode(text, add_special_tokens=self.add_bos_token)

    def _prefix(self) -> int:
        """The token that stands for an empty context."""
        if self.model.begin_id is not None:
            return self.model.begin_id
        if self.model.end_ids:
            return self.model.end_ids[0]
        raise UnsupportedError(f"{self._pretrained} has no token that begins or ends a text, "
                               "which the first token of a text would be predicted from")

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        """The text in pieces that fit the model, each behind one token of the piece before."""
        rolling = utils.get_rolling_token_windows(
            token_list=self._encode(text),
            prefix_token=self._prefix(),
            max_seq_len=self.max_length,
            context_len=1,
        )
        return [utils.make_disjoint_window(window) for window in rolling]

    def _stream(self, context: str, gen_kwargs: dict[str, Any]) -> TextStream:
        options = dict(normalize_gen_kwargs(gen_kwargs, self.max_gen_toks))
        max_tokens = options.pop("max_gen_toks")
        stop = [text for text in options.pop("until") if text]
        if not options.pop("do_sample"):
            options["temperature"] = 0.0
        unknown = options.keys() - _SAMPLING
        if unknown:
            raise UsageError(f"generation_kwargs has {', '.join(sorted(unknown))}, expected "
                             f"do_sample, until, max_gen_toks, {', '.join(sorted(_SAMPLING))}")
        room = self.max_length - max_tokens
        if room <= 0:
            raise UsageError(f"max_gen_toks is {max_tokens}, expected less than {self.max_length}, "
                             "the context of the model")
        prompt = self._encode(context)[-room:] or [self._prefix()]
        return self.model.stream(prompt, max_tokens=max_tokens, stop=stop, **options)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
