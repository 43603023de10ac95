"""Is the `openai` package served unchanged, and do its answers have the texts of `quarot generate`?

openai_test.py PROGRAM SAMPLE_MODEL
"""
import asyncio
import concurrent.futures
import os
import sys

import openai

from conversations import SCRIPTS
from serving import KEY, check, program

PROMPTS = ["It was a dark and stormy", "The old man", "\"Indeed,\" said", "In the year", "She",
           "London, on a"]


def expect(error, call, what):
    try:
        call()
    except error:
        return
    sys.exit(f"FAILED: {what}: no {error.__name__}")


def completions(client, quarot):
    for i, prompt in enumerate(PROMPTS):
        expected = quarot.generate(prompt, 24, "--temp", "0.9", "--top-p", "0.95", "--seed", str(i))
        given = dict(model="sample-w4", prompt=prompt, max_tokens=24, temperature=0.9, top_p=0.95,
                     seed=i)
        whole = client.completions.create(**given)
        check(whole.choices[0].text == expected, f"{whole.choices[0].text!r} is not {expected!r}")
        check(whole.usage.completion_tokens == 24, whole.usage)
        streamed = "".join(chunk.choices[0].text
                           for chunk in client.completions.create(stream=True, **given))
        check(streamed == expected, f"streamed {streamed!r} is not {expected!r}")


async def converse(client, script):
    """The answers of a conversation, each asked for whole and as a stream."""
    messages, answers = script.beginning(), []
    for said in script.turns:
        messages.append({"role": "user", "content": said})
        given = dict(model="default", messages=messages, max_tokens=script.n_tokens,
                     **script.sampling)
        whole = (await client.chat.completions.create(**given)).choices[0].message
        stream = await client.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **given)
        chunks = [chunk async for chunk in stream]
        streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        check(whole.role == "assistant" and streamed == whole.content,
              f"streamed {streamed!r} is not {whole.content!r}")
        check(chunks[-1].usage.completion_tokens <= script.n_tokens, "no usage at the end")
        answers.append(whole.content)
        messages.append({"role": "assistant", "content": whole.content})
    return answers


def told_by_program(quarot, script):
    """The same by `quarot generate`: the first turn by the template, the others as texts."""
    flags = [*script.flags(), *(["--system", script.system] if script.system else [])]
    text = "".join(f"{m['role']}: {m['content']}\n" for m in script.beginning())
    answers = []
    for said in script.turns:
        text += f"user: {said}\nassistant:"
        answer = quarot.generate(said, script.n_tokens, "--chat", *flags) if not answers else \
            quarot.generate(text, script.n_tokens, "--tokenizer-bos", "off", *script.flags())
        answers.append(answer)
        text += f" {answer}\n"
    return answers


async def conversations(url, quarot):
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        answers = await asyncio.gather(*[converse(client, script) for script in SCRIPTS])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        expected = list(pool.map(lambda script: told_by_program(quarot, script), SCRIPTS))
    for script, found, wanted in zip(SCRIPTS, answers, expected):
        check(found == wanted, f"{script.system!r}, {script.turns}: {found!r} is not {wanted!r}")
    n = sum(map(len, answers))
    print(f"{len(SCRIPTS)} conversations, {n} answers, whole and streamed: those of quarot generate")


async def many_at_once(url, quarot):
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as client:
        async def streamed(i):
            text = ""
            stream = await client.completions.create(model="default", stream=True, max_tokens=40,
                                                     prompt=PROMPTS[i % 6], temperature=1,
                                                     top_p=1, seed=i)
            async for chunk in stream:
                text += chunk.choices[0].text
            return text

        async def leaves():
            stream = await client.completions.create(model="default", stream=True, max_tokens=500,
                                                     prompt="A", extra_body={"ignore_eos": True})
            async for _ in stream:
                break
            await stream.close()

        results = await asyncio.gather(*[streamed(i) for i in range(12)],
                                       *[leaves() for _ in range(4)])
    for i in range(0, 12, 3):
        expected = quarot.generate(PROMPTS[i % 6], 40, "--temp", "1", "--top-p", "1", "--seed",
                                   str(i))
        check(results[i] == expected, f"among others {results[i]!r} is not {expected!r}")


def details(client):
    answer = client.completions.create(model="default", prompt="It was", max_tokens=3, logprobs=2,
                                       n=2, echo=True, temperature=0)
    check([choice.index for choice in answer.choices] == [0, 1], "choices")
    logprobs = answer.choices[0].logprobs
    check(len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset),
          logprobs)
    check(logprobs.token_logprobs[0] is None, "the first token has a probability")
    chat = client.chat.completions.create(
        model="default", max_tokens=2, logprobs=True, top_logprobs=3, temperature=0,
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}])
    first = chat.choices[0].logprobs.content[0]
    check(len(first.top_logprobs) == 3 and first.logprob == first.top_logprobs[0].logprob, first)
    check([model.id for model in client.models.list()] == ["sample-w4"], "models")
    check(client.models.retrieve("sample-w4").id == "sample-w4", "a model")


def errors(client, url):
    ask = client.completions.create
    expect(openai.BadRequestError, lambda: ask(model="default", prompt="a", temperature=99),
           "a temperature of 99")
    expect(openai.BadRequestError,
           lambda: client.chat.completions.create(
               model="default", messages=[{"role": "user", "content": "a"}],
               response_format={"type": "json_object"}), "JSON as a format")
    expect(openai.NotFoundError, lambda: ask(model="gpt-4", prompt="a"), "another model")
    stranger = openai.OpenAI(base_url=url, api_key="another-key-than-that", max_retries=0)
    expect(openai.AuthenticationError, lambda: stranger.models.list(), "a wrong key")


def main():
    with program(*sys.argv[1:3]) as quarot:
        keys = os.path.join(os.path.dirname(quarot.model), "keys")
        with open(keys, "w") as file:
            file.write(KEY + "\n")
        with quarot.serving("--api-key-file", keys, "--max-batch", "6") as address:
            url = address + "/v1"
            client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
            completions(client, quarot)
            asyncio.run(conversations(url, quarot))
            asyncio.run(many_at_once(url, quarot))
            details(client)
            errors(client, url)
    print("openai", openai.__version__, "is served: same texts, whole and streamed")


main()
