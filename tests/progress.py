"""Progress bars for tests: one that nobody looks at, and one that interrupts the run."""


class Silent:
    """Progress that nobody looks at."""

    def start(self, description, total):
        """Nothing."""

    def advance(self, amount):
        """Nothing."""


class Impatient(Silent):
    """Presses Ctrl-C when this share of the work is done."""

    def __init__(self, share):
        self.share = share

    def start(self, description, total):
        self.left = self.share * total

    def advance(self, amount):
        self.left -= amount
        if self.left < 0:
            raise KeyboardInterrupt
