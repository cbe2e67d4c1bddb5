"""The crawler example on its site of 1,000 pages: what it found, and what the site was asked for.

Page n links to pages 4n + 1 to 4n + 4, and to three that were linked to before; a link is broken,
an answer is cut off, and two redirections send to each other, all three levels down."""

import os
import re
import unittest

from program import main, run

CRAWLER = os.environ.get("HTTPSHARD_CRAWLER", "")
FOUND = re.compile(r"at most (\d+) at a time: (\d+) pages, (\d+) duplicates, (\d+) redirections, "
                   r"(\d+) failed, [\d.]+ s\n"
                   r"  the site: (\d+) requests, (\d+) of them at once, "
                   r"(\d+) pages asked for again\n")


def crawl(*words):
    """What each of its two crawls says: numbers in the order of FOUND."""
    got = run([CRAWLER, *map(str, words)])
    assert got.returncode == 0, got.stderr
    assert re.search(r"^speed-up: [\d.]+$", got.stdout, re.M), got.stdout
    one, many = ([int(n) for n in found] for found in FOUND.findall(got.stdout))
    return one, many, got.stderr


class Crawler(unittest.TestCase):
    def test_all_pages_each_once(self):
        one, many, said = crawl(10, 32, 0)
        # Three links of every page, and the second redirection's.
        self.assertEqual(one, [1, 1000, 3001, 2, 2, 1003, 1, 0])
        self.assertEqual(many[:6] + many[7:], [32, 1000, 3001, 2, 2, 1003, 0])
        self.assertEqual(len(re.findall(r"/site/nowhere/: Not Found", said)), 2)
        self.assertEqual(len(re.findall(r"/cut: ", said)), 2)

    def test_no_deeper_than_it_may_and_side_by_side(self):
        one, many, _ = crawl(3, 8, 5)
        # 1 + 4 + 16 + 64 pages, and the links of the first three levels.
        self.assertEqual(one, [1, 85, 63, 2, 2, 88, 1, 0])
        self.assertEqual(many[:6] + many[7:], [8, 85, 63, 2, 2, 88, 0])
        self.assertGreater(many[6], 1)
        self.assertLessEqual(many[6], 8)

    def test_the_first_page_alone(self):
        one, many, _ = crawl(0, 4, 0)
        self.assertEqual(one, [1, 1, 0, 0, 0, 1, 1, 0])
        self.assertEqual(many[1:6], [1, 0, 0, 0, 1])

    def test_bad_command_lines(self):
        for words in (["x"], ["1", "0"], ["1", "9999"], ["1", "2", "3", "4"]):
            self.assertEqual(run([CRAWLER, *words]).returncode, 2, words)


if __name__ == "__main__":
    main()
