"""Prints the documents of a file of YAML as one JSON array; a key that is there twice is an error."""

import json
import sys

import yaml


class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key is there twice{node.start_mark}")
        return super().construct_mapping(node, deep)


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps(list(yaml.load_all(file, Strict))))
