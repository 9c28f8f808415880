# SPDX-License-Identifier: Apache-2.0
"""data_index_test.py PROGRAM: `data index` makes an index, finds it again, makes a stale one anew, and refuses what is no data."""
import json
import os
import resource

import support

GOOD = json.dumps(support.make_records(2)[0]).encode()

# What is wrong with a data file: its bytes, the line that is named, and what is said of it.
HOSTILE = {
    "nothing": (b"", 1, "is empty"),
    "spaces": (b"\n \n", 3, "is empty"),
    "an object": (b"{}", 1, "does not begin with '['"),
    "a byte-order mark": (b"\xef\xbb\xbf[" + GOOD + b"]", 1, "does not begin with '['"),
    "no sample": (b"[\n]", None, "holds no samples"),
    "no end": (b"[\n" + GOOD + b"\n", 2, "does not end"),
    "cut in a sample": (b"[" + GOOD + b",\n" + GOOD[:-4], 2, "does not end"),
    "cut in a string": (b"[\n" + GOOD[:12], 2, "a string that does not end"),
    "one comma too many": (b"[" + GOOD + b",\n," + GOOD + b"]", 2, "a sample is missing"),
    "a comma at the end": (b"[" + GOOD + b",\n]", 2, "a sample is missing"),
    "an end too many": (b"[" + GOOD + b"\n]]", 2, "something follows the end"),
    "brackets that do not match": (b"[" + GOOD + b",\n}]", 2, "unexpected '}'"),
    "bytes that are not UTF-8": (b"[" + GOOD.replace(b"What", b"\xff\xfe"), 1, "does not end"),
    "text that is not UTF-8": (b"[\n" + GOOD.replace(b"What", b"\xff\xfe") + b"]", 2, "not valid JSON"),
    "a zero byte": (b"[\n" + GOOD.replace(b"What", b"\0") + b"]", 2, "not valid JSON"),
    "a word": (b"[\nNaN]", 2, "not valid JSON"),
    "a number without end": (b"[\n{\"id\": " + b"9" * 400 + b"}]", 2, "not valid JSON"),
    "a number": (b"[\n7]", 2, "not an object"),
    "no id": (b"[\n{\"conversations\": []}]", 2, "'id' is missing"),
    "no conversations": (b"[\n{\"id\": \"a\"}]", 2, "sample 'a': key 'conversations' is missing"),
    "turns that are none": (b"[\n{\"id\": \"a\", \"conversations\": [3]}]", 2, "sample 'a': key 'conversations'"),
    "a turn without text": (b"[\n{\"id\": \"a\", \"conversations\": [{\"from\": \"gpt\"}]}]", 2, "'value' is missing in turn 1"),
    "an image that is none": (b"[\n{\"id\": \"a\", \"image\": {}, \"conversations\": []}]", 2, "sample 'a': key 'image'"),
    "depth": (b"[\n" + b"[" * 5000 + b"]" * 5000 + b"]", 2, "not valid JSON"),
}


class DataIndex(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.records = support.make_records()
        self.make_data(self.records)
        self.config = self.write_config(train={"steps": 10})
        self.data = self.folder / "data" / "samples.json"
        self.file = self.folder / "data" / "samples.json.index"

    def index(self, *settings):
        """What is printed, without the time, and whether the index had to be made."""
        result = self.call("data", "index", self.config, "--json", *settings)
        report = json.loads(result.out)
        report.pop("open_seconds")
        return report, "making its index" in result.err

    def change(self, old, new):
        """Changes the data file and its time, as any writer does, on file systems of coarse clocks too."""
        time = self.data.stat().st_mtime_ns
        self.data.write_bytes(self.data.read_bytes().replace(old, new))
        os.utime(self.data, ns=(time, time + 1))

    def test_is_made_once_and_counts_what_training_sees(self):
        report, made = self.index()
        self.assertTrue(made)
        kept = self.file.read_bytes(), self.file.stat()
        self.assertEqual(self.index(), (report, False))
        self.assertEqual((self.file.read_bytes(), self.file.stat()), kept)
        source, = report["sources"]
        images = [support.images_of(record) for record in self.records]
        self.assertEqual(
            (source["samples"], source["bad_samples"], source["images"], source["distinct_images"]),
            (len(self.records), 0, sum(map(len, images)), len(set(sum(images, [])))))
        # Three epochs of 40 samples are ten steps of twelve.
        self.call("train", self.config, ranks=2)
        self.assertEqual((self.file.read_bytes(), self.file.stat()), kept)
        rows = self.metrics()
        self.assertEqual(sum(row["tokens"] for row in rows), 3 * source["tokens"])
        self.assertEqual(sum(row["supervised_tokens"] for row in rows), 3 * source["targets"])

    def test_training_counts_the_samples_that_it_cuts(self):
        self.records[4]["conversations"][-1]["value"] = "It is " + "so " * 200 + "far."
        support.write_records(self.data, self.records)
        report, _ = self.index()
        trained = self.call("train", self.config, ranks=2)
        self.assertIn("3 samples were cut to the context length of 128 tokens", trained.err)
        rows = self.metrics()
        self.assertEqual(sum(row["tokens"] for row in rows), 3 * report["sources"][0]["tokens"])

    def test_is_made_anew_when_it_is_stale(self):
        report, _ = self.index()
        bytes_before = self.file.read_bytes()
        self.assertEqual(self.index("--set", "model.vocabulary_size=8192")[1], True, "another vocabulary")
        self.assertEqual(self.index("--set", "data.conversation=visualrwkv")[1], True, "other rules")
        self.assertEqual(self.index(), (report, True))
        self.assertEqual(self.file.read_bytes(), bytes_before)

        self.change(b"What is number 3,", b"Was it a number 3?")
        longer, made = self.index()
        self.assertTrue(made)
        self.assertNotEqual(longer["fingerprint"], report["fingerprint"])
        self.change(b"Was it a number 3?", b"Was it a number 4?")
        same_size, made = self.index()
        self.assertTrue(made)
        self.assertNotEqual(same_size["fingerprint"], longer["fingerprint"])
        support.write_records(self.data, self.records[:-1])
        self.assertEqual(self.index()[0]["samples"], len(self.records) - 1)

    def test_a_damaged_one_is_made_anew(self):
        report, _ = self.index()
        whole = self.file.read_bytes()
        middle = len(whole) // 2
        for damaged in (b"", whole[:-1], whole[:40], whole + b"\0", b"x" * len(whole),
                        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:]):
            self.file.write_bytes(damaged)
            self.assertEqual(self.index(), (report, True))
            self.assertEqual(self.file.read_bytes(), whole)

    def test_one_of_several_ranks_makes_it_and_prints(self):
        for ranks in (2, 3):
            self.file.unlink(missing_ok=True)
            result = self.call("data", "index", self.config, "--json", ranks=ranks)
            line, = result.out.splitlines()
            self.assertEqual(result.err.count("making its index"), 1)
            report = json.loads(line)
            report.pop("open_seconds")
            self.assertEqual(self.index(), (report, False))
            self.assertEqual({path.name for path in self.data.parent.iterdir()},
                             {"images", "samples.json", "samples.json.index"})

    def test_goes_into_the_run_directory_where_it_cannot_lie_beside(self):
        self.file.mkdir()      # as good as a folder without permission, also for root
        report, made = self.index()
        self.assertTrue(made)
        self.assertIn("run/index/", report["sources"][0]["index"])
        self.assertEqual(self.index(), (report, False))

    def test_hostile_files_are_refused_by_line(self):
        for name, (content, line, fragment) in HOSTILE.items():
            with self.subTest(name):
                self.data.write_bytes(content)
                result = self.call("data", "index", self.config, expect=support.DATA_REFUSED)
                message, = (line for line in result.err.splitlines() if line.startswith("vrwkv-dist:"))
                self.assertIn("samples.json:" if line is None else f"samples.json:{line}:", message)
                self.assertIn(fragment, message)
                self.assertFalse(self.file.exists())
        self.data.unlink()
        self.assertIn("samples.json", self.call("data", "index", self.config, expect=support.DATA_REFUSED).err)
        self.data.mkdir()
        self.assertIn("samples.json", self.call("data", "index", self.config, expect=support.DATA_REFUSED).err)

    def test_hostile_files_take_no_memory(self):
        self.index()
        usual = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        megabytes = 100
        for begin, filling, end, fragment in ((b"[", b"[", b"", "does not end"), (b"[{", b"\"a\":{", b"}]", "does not end"),
                                              (b"[{\"id\": \"", b"x", b"\"}]", "bytes (at most")):
            with self.data.open("wb") as file:
                file.write(begin)
                for _ in range(megabytes):
                    file.write(filling * ((1 << 20) // len(filling)))
                file.write(end)
            self.assertIn(fragment, self.call("data", "index", self.config, expect=support.DATA_REFUSED).err)
        # The mapped file counts while it is read.
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertLess(most - usual, (megabytes + 40) << 10, "KiB beside the file's own")


if __name__ == "__main__":
    support.main()
