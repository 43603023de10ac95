"""Scripted conversations: what users say and how answers are to be drawn, by a small grammar and a seed."""
import random

OPENINGS = ["Tell me about", "Who was", "What became of", "I have heard of", "Pray, describe", "Forget"]
PEOPLE = ["the old man", "the captain", "Miss Woodhouse", "a stranger from London", "my sister", "the doctor"]
PLACES = ["", " at the inn", " in the garden", " by the sea", " — at night", " on the moor, é la lettre"]
ENDINGS = ["?", ".", "!", "; be brief.", "\nand say why"]
SYSTEMS = [None, "Be brief.", "You are a novelist of 1850.", "Answer in verse."]
SAMPLING = [{"temperature": 0}, {"temperature": 0.8, "top_p": 1}, {"temperature": 1, "top_p": 0.9}]


class Script:
    """One conversation: its system message, if any, what the user says in turn, and the settings."""

    def __init__(self, number):
        dice = random.Random(number)
        self.system = dice.choice(SYSTEMS)
        self.turns = [self.message(dice) for _ in range(dice.randint(1, 3))]
        self.n_tokens = dice.randint(4, 14)
        self.sampling = {"top_p": 1, **SAMPLING[number % len(SAMPLING)], "seed": 1000 + number}

    @staticmethod
    def message(dice):
        return dice.choice(OPENINGS) + " " + dice.choice(PEOPLE) + dice.choice(PLACES) + dice.choice(ENDINGS)

    def beginning(self):
        return [{"role": "system", "content": self.system}] if self.system else []

    def flags(self):
        """The same settings for the program."""
        return ["--temp", str(self.sampling["temperature"]), "--top-p", str(self.sampling["top_p"]),
                "--seed", str(self.sampling["seed"])]


SCRIPTS = [Script(number) for number in range(40)]
