"""Do lm-evaluation-harness's models of a server give the log-likelihoods of `quarot eval`?

harness_test.py PROGRAM SAMPLE_MODEL
"""
import json
import os
import sys

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from serving import check, program

# Questions of our own in PIQA's layout.
ITEMS = [
    ("How do I keep bread fresh?", "Wrap it in a cloth.", "Leave it in the rain."),
    ("To light a fire", "strike a match and hold it to dry straw", "pour water on the straw"),
    ("How did the two gentlemen travel to London?", "They took the morning train.",
     "They took the morning."),
    ("What does one do with a letter", "One reads it, é la lettre.", "One eats it — at once!"),
    ("A door that will not open", "may be locked", "may be a window, or so they say, my dear"),
    ("To cross a river", "take the bridge", "take the river"),
    ("Where is the moor?", "Behind the house.", "Behind the moon."),
    ("How do I polish shoes?", "With a brush and some wax", "With bread and some butter"),
]
BOUND = 1e-4


def write_data(folder):
    os.mkdir(folder)
    with open(os.path.join(folder, "piqa.jsonl"), "w") as file:
        for goal, one, two in ITEMS:
            file.write(json.dumps({"goal": goal, "sol1": one, "sol2": two, "label": 0}) + "\n")


def of_eval(quarot, folder, bos):
    log = os.path.join(folder, f"items-{bos}.jsonl")
    quarot.run("eval", quarot.model, "--tasks", "piqa", "--data", os.path.join(folder, "data"),
               "--log-items", log, "--tokenizer-bos", bos)
    with open(log) as file:
        return [json.loads(line) for line in file]


def of_harness(model):
    requests = [Instance("loglikelihood", {}, (f"Question: {goal}\nAnswer:", " " + answer), 0)
                for goal, *answers in ITEMS for answer in answers]
    numbers = [number for number, _ in model.loglikelihood(requests)]
    return [numbers[i:i + 2] for i in range(0, len(numbers), 2)]


def compare(name, found, expected):
    worst = 0.0
    check(len(found) == len(expected) == len(ITEMS), f"{name}: {len(found)} items")
    for numbers, item in zip(found, expected):
        for ours, theirs in zip(item["loglikelihoods"], numbers):
            worst = max(worst, abs(ours - theirs))
        check(numbers.index(max(numbers)) == item["prediction"], f"{name}: another prediction")
    check(worst <= BOUND, f"{name}: log-likelihoods differ by {worst}, expected {BOUND} at most")
    print(f"{name}: {len(found)} items, largest difference {worst:.2e}")


def main():
    with program(*sys.argv[1:3]) as quarot:
        folder = os.path.dirname(quarot.model)
        write_data(os.path.join(folder, "data"))
        # local-completions puts nothing in front of a context; gguf leaves it to the server.
        without, auto = of_eval(quarot, folder, "off"), of_eval(quarot, folder, "auto")
        check(without[0]["loglikelihoods"] != auto[0]["loglikelihoods"], "BOS changes nothing")
        with quarot.serving() as address:
            for concurrent, batch in ((1, 1), (4, 1), (1, 5)):
                model = get_model("local-completions")(
                    base_url=address + "/v1/completions", model="sample-w4",
                    tokenizer_backend="remote", num_concurrent=concurrent, batch_size=batch,
                    max_length=1024)
                compare(f"local-completions, {concurrent} at once, batches of {batch}",
                        of_harness(model), without)
            compare("gguf", of_harness(get_model("gguf")(base_url=address)), auto)


main()
