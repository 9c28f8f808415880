# SPDX-License-Identifier: Apache-2.0
"""features_test.py PROGRAM RANKS: `data features` on RANKS ranks, and training from what it stored."""
import json

import h5py
import numpy as np

import support


class Features(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        self.make_data()
        self.from_images = self.write_config("from_images.toml")
        self.from_features = self.config("fp32")

    def config(self, feature_type, folder="features", **tables):
        data = {**support.TINY["data"], "feature_type": feature_type, "features": folder}
        return self.write_config(f"{feature_type}.toml", data=data, **tables)

    def make(self, config, *options, **expectations):
        result = self.call("data", "features", config, "--images-per-shard", 2, "--json", *options,
                           ranks=self.ranks, **expectations)
        return json.loads(result.out) if result.code == support.DONE else result

    def shards(self):
        return sorted((self.folder / "features").glob("shard-*.h5"))

    def test_the_bits_of_training_from_images(self):
        made = self.make(self.from_features)
        self.assertEqual((made["images"], made["encoded"], made["refused"]), (5, 5, 0))
        self.call("train", self.from_images, "--run-dir", "images", ranks=self.ranks)
        self.call("train", self.from_features, "--run-dir", "features-run", ranks=self.ranks)
        self.assert_same_run("features-run", "images")
        self.call("train", self.from_features, "--run-dir", "resumed", "--max-steps", 2, ranks=self.ranks)
        resumed = self.call("train", self.from_features, "--run-dir", "resumed", ranks=3 - self.ranks)
        self.assertIn("resuming after step 2", resumed.err)
        self.assert_same_run("resumed", "images")

    def test_plan_says_and_writes_nothing(self):
        plan = self.make(self.from_features, "--plan")
        records = support.make_records()
        uses = sum(len(support.images_of(record)) for record in records)
        self.assertEqual((plan["images"], plan["uses_per_epoch"]), (5, uses))
        self.assertEqual(plan["bytes"], 5 * 4 * 32 * 4)
        self.assertAlmostEqual(plan["flops_saved_per_epoch"] / plan["flops"], uses / 5)
        self.assertFalse((self.folder / "features").exists())

    def test_goes_on_and_shows_its_files(self):
        self.make(self.from_features)
        with h5py.File(self.shards()[1]) as shard:
            self.assertEqual(shard["features"].shape, (2, 4, 32))
            self.assertTrue(np.isfinite(shard["features"][...]).all())
            self.assertEqual(len(set(shard["images"].asstr()[...])), 2)
        self.shards()[1].unlink()
        again = self.make(self.from_features)
        self.assertEqual((again["encoded"], again["kept"]), (2, 3))

    def test_refuses_what_is_stale_or_not_there(self):
        nothing = self.call("train", self.from_features, expect=support.USAGE)
        self.assertIn("vrwkv-dist data features", nothing.err)
        self.make(self.from_features)
        other = self.config("fp32", train={"seed": 8})
        stale = self.call("train", other, "--run-dir", "stale", ranks=self.ranks, expect=support.USAGE)
        self.assertIn("vit.siglip_featurizer", stale.err)
        self.assertIn("another folder", self.make(other, expect=support.USAGE).err)
        self.assertIn("feature_type", self.make(self.from_images, expect=support.USAGE).err)

    def test_a_store_keeps_its_shards_size(self):
        self.make(self.from_features)
        shards = self.shards()
        again = json.loads(self.call("data", "features", self.from_features, "--json", ranks=self.ranks).out)
        self.assertEqual((again["encoded"], again["kept"]), (0, 5))
        result = self.call("data", "features", self.from_features, "--images-per-shard", 3, ranks=self.ranks,
                           expect=support.USAGE)
        self.assertIn("has 2 images in a shard, not 3", result.err)
        self.assertEqual(self.shards(), shards)

    def test_images_are_not_missed_later(self):
        self.make(self.from_features)
        images = self.folder / "data" / "images"
        images.rename(self.folder / "elsewhere")
        self.call("train", self.from_features, ranks=self.ranks)
        result = self.call("train", self.from_images, "--run-dir", "none", ranks=self.ranks, expect=support.DATA_REFUSED)
        self.assertIn("images: is no folder", result.err)
        for command in ("features", "check"):
            refused = self.call("data", command, self.from_features, ranks=self.ranks, expect=support.DATA_REFUSED)
            self.assertIn("images: is no folder", refused.err)


if __name__ == "__main__":
    support.main()
