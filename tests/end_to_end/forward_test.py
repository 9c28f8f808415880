# SPDX-License-Identifier: Apache-2.0
"""`vrwkv-dist forward` against numpy, Pillow and a training step of the same batch."""
import h5py
import numpy as np
from PIL import Image

import support

IMAGE_TOKEN = 65535
IGNORE = -100


def mean_cross_entropy(logits, labels):
    """Position t predicts label t + 1; mean over the targets, 0 without any. fp64."""
    targets = labels[1:]
    supervised = targets != IGNORE
    scores = logits[:-1][supervised].astype(np.float64)
    top = scores.max(axis=1, keepdims=True, initial=-np.inf)
    log_sums = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
    losses = log_sums - scores[np.arange(len(scores)), targets[supervised]]
    return losses.sum() / max(1, supervised.sum())


class ForwardTest(support.ProgramTest):
    def setUp(self):
        super().setUp()
        self.records = support.make_records(12)
        self.make_data(self.records)
        self.call("train", self.write_config(), "--max-steps", 2, "--set", "data.context_length=512")

    def forward(self, *options, samples="data/samples.json", expect=support.DONE):
        result = self.call("forward", "--model", "run", "--samples", samples, "--image-folder", "data/images", "--output",
                           "forward.h5", *options, expect=expect)
        return result if expect else h5py.File(self.folder / "forward.h5", "r")

    def test_losses_follow_from_the_logits(self):
        question_only = {"id": "no target", "conversations": [{"from": "human", "value": "Is anybody there?"}]}
        long = {"id": "long", "conversations": [{"from": "human", "value": "Say it."},
                                                {"from": "gpt", "value": "once more and " * 400}]}
        records = [*self.records, question_only, long]
        support.write_records(self.folder / "data" / "more.json", records)
        losses = []
        with self.forward(samples="data/more.json") as file:
            self.assertNotIn("gradients", file)
            self.assertEqual(len(file["samples"]), len(records))
            for number, record in enumerate(records):
                sample = file[f"samples/{number}"]
                token_ids, labels, logits = (sample[name][...] for name in ("token_ids", "labels", "logits"))
                self.assertEqual(logits.shape, (len(token_ids), 4096))
                self.assertEqual(logits.dtype, np.float32)
                images = record.get("image", [])
                count = 1 if isinstance(images, str) else len(images)
                self.assertEqual((token_ids == IMAGE_TOKEN).sum(), 4 * count)
                self.assertTrue(np.all((labels == IGNORE) | (labels == token_ids)))
                losses.append(mean_cross_entropy(logits, labels))
                # fp32 logits of size 10 carry 1e-6; the mean averages over at least two of them.
                self.assertAlmostEqual(float(sample["loss"][()]), losses[-1], delta=1e-5)
            self.assertEqual(float(file[f"samples/{len(self.records)}/loss"][()]), 0)
            self.assertGreater(len(file[f"samples/{len(self.records) + 1}/token_ids"]), 1200, "forward never cuts")
            self.assertAlmostEqual(float(file["loss"][()]), np.mean(losses), delta=1e-5)

    def test_is_the_next_training_step(self):
        for l2wrap in ("supervised", "all", "off"):
            config = self.write_config(model={"initial_model": "run"}, train={"l2wrap": l2wrap, "steps": 1},
                                       data={"context_length": 512}, run={"directory": f"step-{l2wrap}"})
            self.call("train", config)
            row = self.metrics(f"step-{l2wrap}")[0]
            with self.forward("--gradients", "--no-logits", "--l2wrap", l2wrap) as file:
                self.assertNotIn("logits", file["samples/0"])
                # The same samples in another order: equal up to the rounding of sums.
                self.assertAlmostEqual(float(file["loss"][()]), row["loss"], delta=1e-6)
                squares = sum(np.square(gradient[...].astype(np.float64)).sum() for gradient in file["gradients"].values())
                self.assertAlmostEqual(np.sqrt(squares) / row["grad_norm"], 1, delta=1e-5)
                self.assertNotIn("rwkv.emb.weight", file["gradients"])

    def test_stage_1_trains_the_projector(self):
        with self.forward("--gradients", "--no-logits", "--stage", 1) as file:
            names = list(file["gradients"])
            self.assertTrue(names and all(name.startswith("proj.") for name in names), names)
            self.assertTrue(all(np.any(gradient[...]) for gradient in file["gradients"].values()))

    def test_features_and_pixels(self):
        with self.forward("--features", "--no-logits") as file:
            for number, record in enumerate(self.records):
                sample = file[f"samples/{number}"]
                images = record.get("image", [])
                images = [images] if isinstance(images, str) else images
                self.assertEqual("image_features" in sample, bool(images))
                if not images:
                    continue
                self.assertEqual(sample["image_features"].shape, (len(images), 4, 32))
                for pixels, name in zip(sample["pixels/16"][...], images):
                    with Image.open(self.folder / "data" / "images" / name) as image:
                        opened = image.convert("RGB")
                    expected = np.asarray(opened.resize((16, 16), Image.BICUBIC)).transpose(2, 0, 1)
                    np.testing.assert_array_equal(pixels, expected, name)

    def test_refusals_leave_the_older_file(self):
        self.forward("--no-logits").close()
        before = (self.folder / "forward.h5").read_bytes()
        broken = [{**self.records[0], "id": "lost", "image": "nowhere.png"}]
        support.write_records(self.folder / "data" / "broken.json", broken)
        result = self.forward(samples="data/broken.json", expect=support.DATA_REFUSED)
        self.assertIn("lost", result.err)
        self.assertIn("nowhere.png", result.err)
        self.forward("--stage", 3, expect=support.USAGE)
        self.forward("--l2wrap", "some", expect=support.USAGE)
        self.assertEqual((self.folder / "forward.h5").read_bytes(), before)
        self.assertEqual(sorted(path.name for path in self.folder.glob("forward*")), ["forward.h5"])
        self.call("forward", "--model", "nowhere", "--samples", "data/samples.json", "--output", "other.h5",
                  expect=support.USAGE)


if __name__ == "__main__":
    support.main()
