#!/usr/bin/env python3
"""Writes cloudformation.json, the resource schemas that the local cluster's CloudFormation checks.

The source is the wheel of cfn-lint, which has the CloudFormation resource schemas of AWS:

    pip download --no-deps cfn-lint==1.58.0
    python3 generate.py cfn_lint-1.58.0-py3-none-any.whl > cloudformation.json

Only the types below are taken, and only the keywords that `src/cloudformation/schema.rs` checks.
"""

import json
import re
import sys
import zipfile

TYPES = """
AWS::Batch::ComputeEnvironment AWS::Batch::ConsumableResource AWS::Batch::JobDefinition AWS::Batch::JobQueue
AWS::Batch::SchedulingPolicy
AWS::CodeBuild::Project
AWS::EC2::EIP AWS::EC2::InternetGateway AWS::EC2::LaunchTemplate AWS::EC2::NatGateway AWS::EC2::PlacementGroup
AWS::EC2::Route AWS::EC2::RouteTable AWS::EC2::SecurityGroup AWS::EC2::SecurityGroupEgress
AWS::EC2::SecurityGroupIngress AWS::EC2::Subnet AWS::EC2::SubnetRouteTableAssociation AWS::EC2::VPC
AWS::EC2::VPCEndpoint AWS::EC2::VPCGatewayAttachment
AWS::ECR::Repository
AWS::EFS::AccessPoint AWS::EFS::FileSystem AWS::EFS::MountTarget
AWS::Events::Rule
AWS::IAM::InstanceProfile AWS::IAM::ManagedPolicy AWS::IAM::Policy AWS::IAM::Role
AWS::Logs::LogGroup AWS::Logs::ResourcePolicy
AWS::S3::Bucket AWS::S3::BucketPolicy
""".split()

REGION = "us-east-1"
FOLDER = "cfnlint/data/schemas/"
# Keywords of a value's schema that hold a plain value.
PLAIN = {
    "$ref", "const", "enum", "enumCaseInsensitive", "maxItems", "maxLength", "maximum", "minItems", "minLength",
    "minimum", "required", "requiredOr", "requiredXor", "type",
}
# What a type has beside its properties.
OF_TYPE = {
    "conditionalCreateOnlyProperties", "createOnlyProperties", "primaryIdentifier", "readOnlyProperties",
}


def reduced(schema):
    """The keywords of a value's schema that are checked."""
    kept = {key: value for key, value in schema.items() if key in PLAIN}
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].removeprefix("#/definitions/")
    if "properties" in schema:
        kept["properties"] = {name: reduced(value) for name, value in schema["properties"].items()}
    if "items" in schema:
        kept["items"] = reduced(schema["items"])
    # A map: the keys are free, the values are not.
    for value in schema.get("patternProperties", {}).values():
        kept["values"] = reduced(value)
    return kept


def references(value):
    """The definitions that a schema refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def definitions_of(properties, all_definitions):
    """The definitions that are needed, also by each other."""
    needed, waiting = {}, list(references(properties))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = reduced(all_definitions[name])
            waiting.extend(references(needed[name]))
    return dict(sorted(needed.items()))


def of_type(schema):
    kept = reduced(schema)
    kept.pop("type", None)
    for key in OF_TYPE:
        if key in schema:
            paths = sorted(path.removeprefix("/properties/") for path in schema[key])
            if key == "primaryIdentifier":
                paths = [path.removeprefix("/properties/") for path in schema[key]]
            kept[key] = paths
    tagging = schema.get("tagging", {})
    if tagging.get("taggable") and "tagProperty" in tagging:
        kept["tagProperty"] = tagging["tagProperty"].removeprefix("/properties/")
    kept["definitions"] = definitions_of(kept["properties"], schema.get("definitions", {}))
    return kept


def main():
    wheel = sys.argv[1]
    version = re.search(r"cfn_lint-([0-9.]+)-", wheel).group(1)
    with zipfile.ZipFile(wheel) as archive:
        read = lambda name: json.loads(archive.read(FOLDER + name))
        files = read(f"providers/{REGION}.json")
        types = {name: of_type(read(f"resources/{files[name]}.json")) for name in TYPES}
    print('{"source": "cfn-lint %s, %s",' % (version, REGION))
    print(' "types": {')
    lines = [f"  {json.dumps(name)}: {json.dumps(types[name], sort_keys=True, separators=(',', ':'))}" for name in TYPES]
    print(",\n".join(lines))
    print(" }}")


main()
