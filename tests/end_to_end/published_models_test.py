# SPDX-License-Identifier: Apache-2.0
"""Published files through the program, against what timm, transformers and the `rwkv` package's formulas give for them
(tools/fixtures/published_models.py)."""
import json
import zipfile

import h5py
import numpy as np

import support

PUBLISHED = support.SOURCE / "tests" / "fixtures" / "published"
IMAGES = support.SOURCE / "tests" / "fixtures" / "image"
FORWARD_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4    # fp32 against double precision, relative to the largest
SEPARATE = ["rwkv7.pth", "dinov2_timm.bin", "siglip_open_clip.bin", "sam_meta.pth"]


def difference(actual, expected):
    return np.abs(np.asarray(actual, np.float64) - expected).max() / max(np.abs(expected).max(), 1e-30)


class PublishedModelsTest(support.ProgramTest):
    def forward(self, model, *options, samples=PUBLISHED / "samples.json", output="forward.h5"):
        self.call("forward", "--model", model, "--samples", samples, "--image-folder", IMAGES, "--output", output, *options)
        return h5py.File(self.folder / output, "r")

    def run_import(self, files, expect=support.DONE):
        return self.call("checkpoint", "import", *(PUBLISHED / name for name in files), "--output", "imported", expect=expect)

    def expected(self, name="visualrwkv.h5"):
        return h5py.File(PUBLISHED / name, "r")

    def compare_samples(self, actual, expected):
        self.assertEqual(len(expected["samples"]), len(actual["samples"]))
        for index, sample in expected["samples"].items():
            found = actual["samples"][index]
            for key in ("token_ids", "labels"):
                np.testing.assert_array_equal(found[key], sample[key], err_msg=f"{key} of {index}")
            for key in ("logits", "loss", "image_features"):
                if key in sample:
                    self.assertLessEqual(difference(found[key], sample[key][()]), FORWARD_TOLERANCE, f"{key} of {index}")
            for size in sample.get("pixels", ()):
                np.testing.assert_array_equal(found["pixels"][size], sample["pixels"][size])
        self.assertLessEqual(difference(actual["loss"], expected["loss"][()]), FORWARD_TOLERANCE)

    def compare_gradients(self, actual, expected):
        for name in expected:
            self.assertLessEqual(difference(actual[name], expected[name][()]), GRADIENT_TOLERANCE, name)

    def test_a_whole_checkpoint_gives_its_numbers(self):
        expected = self.expected()
        for penalty in ("supervised", "all", "off"):
            with self.subTest(penalty):
                actual = self.forward(PUBLISHED / "visualrwkv.pth", "--features", "--gradients", "--stage", 2, "--l2wrap", penalty)
                self.compare_samples(actual, expected)
                self.compare_gradients(actual["gradients"], expected["gradients"][penalty])
                if penalty == "supervised":
                    self.assertEqual(set(actual["gradients"]), set(expected["gradients"][penalty]))

    def test_stage_1_trains_the_projector(self):
        expected = self.expected()["gradients/supervised"]
        actual = self.forward(PUBLISHED / "visualrwkv.pth", "--no-logits", "--gradients", "--stage", 1)["gradients"]
        projector = {name for name in expected if name.startswith("proj.")}
        self.assertEqual(set(actual), projector)
        self.compare_gradients(actual, {name: expected[name] for name in projector})

    def test_a_bare_language_model_reads_text(self):
        samples = [sample for sample in json.loads((PUBLISHED / "samples.json").read_text()) if "image" not in sample]
        (self.folder / "text.json").write_text(json.dumps(samples))
        actual = self.forward(PUBLISHED / "rwkv7.pth", samples="text.json")
        self.assertLessEqual(difference(actual["samples/0/logits"], self.expected()["samples/2/logits"][()]), FORWARD_TOLERANCE)

    def test_samples_are_read_as_the_original_does_by_compat(self):
        turns = [{"from": "Human", "value": "What?"}, {"from": "GPT", "value": "That."}]
        (self.folder / "text.json").write_text(json.dumps([{"id": "a", "conversations": turns}]))
        strict = self.forward(PUBLISHED / "rwkv7.pth", samples="text.json", output="strict.h5")["samples/0"]
        self.assertEqual(strict["labels"][0], -100)
        compat = ["--set", "model.compat=visualrwkv-7.00"]
        self.call("checkpoint", "import", PUBLISHED / "rwkv7.pth", "--output", "kept", *compat)
        for model, options in ((PUBLISHED / "rwkv7.pth", compat), ("kept", [])):
            sample = self.forward(model, *options, samples="text.json")["samples/0"]
            # The original masks turns by `human` and `gpt`, spelt so, alone.
            np.testing.assert_array_equal(sample["labels"], sample["token_ids"])
        self.call("forward", "--model", PUBLISHED / "rwkv7.pth", "--samples", "text.json", "--output", "o.h5", "--set",
                  "data.file=x.json", expect=support.USAGE)

    def test_separate_files_make_a_model(self):
        expected = self.expected("encoders.h5")
        for dinov2 in ("dinov2_timm.bin", "dinov2_meta.pth"):
            with self.subTest(dinov2):
                files = [name if "dinov2" not in name else dinov2 for name in SEPARATE]
                self.call("checkpoint", "import", *(PUBLISHED / name for name in files), "--output", dinov2)
                actual = self.forward(dinov2, "--features", "--no-logits")
                for index, sample in expected["samples"].items():
                    features = actual["samples"][index]["image_features"]
                    self.assertLessEqual(difference(features, sample["image_features"][()]), FORWARD_TOLERANCE)

    def test_what_was_imported_goes_out_again(self):
        self.run_import(["visualrwkv.pth"])
        original = self.forward(PUBLISHED / "visualrwkv.pth", output="original.h5")
        for name in ("whole.pth", "whole.safetensors"):
            with self.subTest(name):
                self.call("checkpoint", "export", "imported", "--output", name)    # bf16, as it came
                again = self.forward(name)
                for index in original["samples"]:
                    logits = again["samples"][index]["logits"]
                    np.testing.assert_array_equal(logits, original["samples"][index]["logits"])
        with zipfile.ZipFile(PUBLISHED / "visualrwkv.pth") as old, zipfile.ZipFile(self.folder / "whole.pth") as new:
            flat = next(entry for entry in old.infolist() if entry.filename.endswith("data/0"))
            self.assertEqual(sum(e.file_size for e in new.infolist() if "/data/" in e.filename), flat.file_size)

    def test_parts_go_into_files_of_their_own(self):
        self.run_import(["visualrwkv.pth"])
        self.call("checkpoint", "export", "imported", "--output", "out/model.pth", "--parts", "split", "--dtype", "fp32")
        self.call("checkpoint", "export", "imported", "--output", "projector.safetensors", "--parts", "projector")
        self.call("checkpoint", "export", "imported", "--output", "again.pth", "--parts", "rwkv", "--dtype", "fp32")
        rwkv, visual = self.folder / "out" / "model_rwkv.pth", self.folder / "out" / "model_visual.pth"
        with zipfile.ZipFile(rwkv) as one, zipfile.ZipFile(self.folder / "again.pth") as other:
            self.assertEqual(one.read("model_rwkv/data.pkl"), other.read("again/data.pkl"))
        self.call("checkpoint", "import", rwkv, visual, "--output", "joined")
        self.compare_samples(self.forward("joined", "--features"), self.expected())
        header = (self.folder / "projector.safetensors").read_bytes()
        names = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
        self.assertEqual(names.pop("__metadata__")["model"], "VisualRWKV-7")
        self.assertEqual({name.split(".")[0] for name in names}, {"proj"})

    def test_misfits_are_named_together(self):
        result = self.run_import(["sam_meta.pth"], expect=support.USAGE)
        self.assertIn("rwkv.emb.weight", result.err)
        result = self.run_import(["rwkv7.pth", "rwkv7.pth"], expect=support.USAGE)
        self.assertIn("which one counts", result.err)
        self.assertFalse((self.folder / "imported").exists())

    def edited(self, edit, source="whole.safetensors"):
        """A copy of a safetensors file whose header `edit` changes in place."""
        raw = (self.folder / source).read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        edit(header)
        text = json.dumps(header).encode()
        (self.folder / "edited.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[end:])
        return "edited.safetensors"

    def test_all_misfits_are_named_whatever_the_sizes_are_read_from(self):
        self.call("checkpoint", "export", PUBLISHED / "visualrwkv.pth", "--output", "whole.safetensors")
        self.call("checkpoint", "export", PUBLISHED / "rwkv7.pth", "--output", "bare.safetensors", "--parts", "rwkv")
        missing = ["rwkv.emb.weight", "rwkv.blocks.1.att.w1", "vit.dino_featurizer.reg_token", "proj.gate.weight",
                   "vit.siglip_featurizer.patch_embed.proj.weight", "vit.sam_featurizer.neck.0.weight"]
        flattened = ["rwkv.blocks.0.att.r_k", "vit.dino_featurizer.pos_embed", "vit.sam_featurizer.blocks.1.attn.rel_pos_h"]

        def spoil(header):
            for name in missing:
                del header[name]
            for name in flattened:
                header[name]["shape"] = [int(np.prod(header[name]["shape"]))]
            header["rwkv.foreign"] = header["rwkv.ln_out.bias"]
            header["rwkv.blocks.2.ln1.weight"]["dtype"] = "I16"

        edited = self.edited(spoil)
        forward = ["forward", "--samples", PUBLISHED / "samples.json", "--output", "o.h5", "--model"]
        for command in (["checkpoint", "import", "--output", "spoilt"], forward):
            error = self.call(*command, edited, expect=support.USAGE).err
            for name in [*missing, *flattened, "rwkv.foreign", "rwkv.blocks.2.ln1.weight"]:
                self.assertIn(name, error)
        bare = self.edited(lambda header: [header.pop(name) for name in ("emb.weight", "blocks.0.att.x_r")], "bare.safetensors")
        error = self.call("checkpoint", "import", bare, "--output", "spoilt", expect=support.USAGE).err
        for name in ("rwkv.emb.weight", "rwkv.blocks.0.att.x_r"):
            self.assertIn(name, error)
        self.assertFalse((self.folder / "spoilt").exists())

    def test_damage_is_told_from_wrong_use(self):
        broken = self.folder / "broken.pth"
        broken.write_bytes((PUBLISHED / "rwkv7.pth").read_bytes()[:100_000])
        self.call("forward", "--model", broken, "--samples", "x.json", "--output", "o.h5", expect=support.CHECKPOINT_DAMAGED)
        self.call("forward", "--model", "nowhere.pth", "--samples", "x.json", "--output", "o.h5", expect=support.USAGE)
        self.run_import(["visualrwkv.pth"])
        self.call("checkpoint", "export", "imported", "--output", "model.zip", expect=support.USAGE)
        self.call("checkpoint", "export", PUBLISHED / "rwkv7.pth", "--output", "half.pth", "--parts", "split", expect=support.USAGE)
        self.assertFalse((self.folder / "half_rwkv.pth").exists())    # there is nothing for half_visual.pth
        self.run_import(["visualrwkv.pth"], expect=support.USAGE)    # there is one already

    def config(self, **tables):
        """Stage 1 on the published samples, of the fixtures' sizes; the ranks are left to the files."""
        encoders = {
            "vision": {"tokens_per_image": 16},
            "vision.dinov2": {"image_size": 56, "width": 64, "depth": 3, "heads": 1, "mlp_hidden": 48},
            "vision.siglip": {"image_size": 56, "width": 72, "depth": 2, "heads": 1, "mlp_hidden": 36},
            "vision.sam": {"image_size": 128, "width": 32, "depth": 3, "heads": 2, "mlp_hidden": 24, "window_size": 3,
                           "global_blocks": [1], "neck_width": 4},
        }
        data = {"data_file": str(PUBLISHED / "samples.json"), "image_folder": str(IMAGES), "run_directory": "run"}
        tables = {"model": {"n_layer": 3, "n_embd": 64, "vocabulary_size": 300}, **encoders,
                  "train": {"stage": 1, "steps": 3, "global_batch_size": 4, "micro_batch_size": 1},
                  "optimizer": {"learning_rate": 1e-3}, "checkpoint": {"every_steps": 1},
                  "paths": {**data, **tables.pop("paths", {})}, **tables}
        path = self.folder / "config.toml"
        path.write_text(support.toml_text(tables))
        return path

    def test_training_starts_from_published_files(self):
        names = ("language_model", "dinov2", "siglip", "sam")
        separate = self.config(paths={key: str(PUBLISHED / name) for key, name in zip(names, SEPARATE)})
        self.call("train", separate, "--max-steps", 2, ranks=2)
        separate.write_text(separate.read_text().replace(str(PUBLISHED / "rwkv7.pth"), "moved.pth"))
        self.call("train", separate, ranks=1)    # goes on without the files
        self.assertEqual([row["step"] for row in self.metrics()], [1, 2, 3])
        self.run_import(SEPARATE)
        imported = support.read_state(self.folder / "imported" / "step-00000000")
        trained = self.state()
        for name, value in imported.items():
            same = np.array_equal(trained[name], value)
            self.assertEqual(same, not name.startswith("parameters/proj."), name)

    def test_a_whole_checkpoint_starts_a_run_with_its_loss(self):
        whole = self.config(paths={"initial_model": str(PUBLISHED / "visualrwkv.pth")})
        self.call("train", whole, "--max-steps", 1)
        expected = self.expected()["loss"][()]
        self.assertLessEqual(abs(self.metrics()[0]["loss"] - expected) / expected, FORWARD_TOLERANCE)

    def test_a_wrong_file_is_named(self):
        wrong = self.config(paths={"language_model": str(PUBLISHED / "sam_meta.pth")})
        self.assertIn("holds SAM, but [paths] language_model", self.call("train", wrong, expect=support.USAGE).err)
        partial = self.config(paths={"language_model": str(PUBLISHED / "rwkv7.pth")})
        self.assertIn("vit.sam_featurizer.neck.2.weight", self.call("train", partial, expect=support.USAGE).err)


if __name__ == "__main__":
    support.main()
