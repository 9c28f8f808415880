# SPDX-License-Identifier: Apache-2.0
"""command_line_test.py PROGRAM: help, wrong usage, and `check` on the configurations that come with it."""
import json
import re
import tomllib

import support


class CommandLine(support.ProgramTest):

    def test_help(self):
        help_texts = self.help_texts()
        self.assertIn("Exit codes", help_texts.pop(""))
        for known in ("train", "eval", "generate", "forward", "check", "checkpoint verify"):
            self.assertIn(known, help_texts)
        for command, text in help_texts.items():
            self.assertRegex(text, rf"Example: (mpirun -n \d )?vrwkv-dist {command}", command)
        self.assertRegex(self.call("--version").out, r"^\d+\.\d+\.\d+\n$")

    def help_texts(self, *command):
        """The help of a command and of all below it, which it names, by command."""
        text = self.call(*command, "--help").out
        found = {" ".join(command): text}
        section = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.MULTILINE)
        for name in re.findall(r"^  (\S+)", section[1], re.MULTILINE) if section else ():
            found.update(self.help_texts(*command, name))
        return found

    def test_usage_errors(self):
        self.call(expect=support.USAGE)
        self.assertIn("no command 'tarin'. The commands are train", self.call("tarin", expect=support.USAGE).err)
        self.assertIn("no command 'frob'. The commands of data are index",
                      self.call("data", "frob", expect=support.USAGE).err)
        self.call("train", expect=support.USAGE)
        self.call("check", "absent.toml", expect=support.USAGE)

    def test_check(self):
        configs = sorted((support.SOURCE / "configs").glob("*.toml"))
        self.assertTrue(configs)
        for config in configs:
            with self.subTest(config=config.name):
                given = tomllib.loads(config.read_text())
                text = self.call("check", config).out
                resolved = tomllib.loads(text)
                for table, keys in given.items():
                    self.assertLessEqual(set(keys), set(resolved[table]))
                (self.folder / "resolved.toml").write_text(text)
                again = self.call("check", "resolved.toml", "--set", "train.steps=10", "--json").out
                resolved["train"]["steps"] = 10
                self.assertEqual(json.loads(again), resolved)


if __name__ == "__main__":
    support.main()
