"""`edgellm bundle`, `unbundle`, `keygen`: a model and its accelerator as one file that can be checked."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgellm import bundle
from edgellm.bundle import Bundle, signature
from edgellm.bundle.manifest import Target
from edgellm.cli.common import Commands, command, table

BUNDLE_EXAMPLES = """\
examples:
  edgellm bundle out/zu3 -o home-260k-aup-zu3.edgellm             model, RTL, reports
  edgellm bundle out/zu3 --bitstream x.bit --hwh x.hwh -o home-260k-aup-zu3.edgellm    with Vivado's result
  edgellm bundle home-260k -o home-260k.edgellm                   a model alone, for CPU and GPU
  edgellm bundle home-260k.edgellm --sign key.pem -o signed.edgellm
  edgellm generate home-260k.edgellm -p "turn on the kitchen light"
"""
UNBUNDLE_EXAMPLES = """\
examples:
  edgellm unbundle home-260k-aup-zu3.edgellm                      check everything, say what is in it
  edgellm unbundle home-260k-aup-zu3.edgellm --key key.pub.pem    and demand this signature
  edgellm unbundle home-260k-aup-zu3.edgellm -o out/zu3           unpack into a new folder
"""
KEYGEN_EXAMPLES = """\
examples:
  edgellm keygen key.pem                                          key.pem, which signs, and key.pub.pem, which checks
"""


def add(commands: Commands) -> None:
    """Register the commands."""
    _add_bundle(commands)
    opened = command(
        commands, "unbundle", "check a bundle and show or unpack it", run_unbundle, UNBUNDLE_EXAMPLES
    )
    opened.add_argument("bundle", metavar="FILE", type=Path, help="bundle written by edgellm bundle")
    opened.add_argument("-o", "--output", metavar="DIR", type=Path, help="unpack into this new folder")
    opened.add_argument("--key", metavar="PUB.pem", type=Path, help="public key that must have signed it")
    opened.add_argument("--json", action="store_true", help="print one JSON object")
    keygen = command(
        commands, "keygen", "make a pair of keys to sign bundles with", run_keygen, KEYGEN_EXAMPLES
    )
    keygen.add_argument("key", metavar="KEY.pem", type=Path, help="private key to write, never overwritten")


def _add_bundle(commands: Commands) -> None:
    parser = command(
        commands, "bundle", "put a model and its accelerator into one file", run_bundle, BUNDLE_EXAMPLES
    )
    parser.add_argument(
        "source", metavar="DIR", help="folder written by compile, or a model by name or folder, or a bundle"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help=f"bundle to write, X{bundle.SUFFIX}; an earlier one is replaced",
    )
    parser.add_argument("--bitstream", metavar="X.bit", type=Path, help="what Vivado made of the design")
    parser.add_argument(
        "--hwh", metavar="X.hwh", type=Path, help="its hardware hand-off (default: beside the bitstream)"
    )
    parser.add_argument("--sign", metavar="KEY.pem", type=Path, help="private key, as keygen makes it")
    parser.add_argument("--note", metavar="TEXT", help="a remark that is kept in the bundle")


def run_bundle(options: argparse.Namespace) -> int:
    """Write the bundle."""
    from edgellm.bundle.pack import Additions, pack

    additions = Additions(options.bitstream, options.hwh, options.note, options.sign)
    described = pack(options.source, options.output, additions)
    size = options.output.stat().st_size
    print(f"wrote {options.output}: {described.name}, {len(described.members)} files, {size / 1024:,.0f} KiB")
    return 0


def run_unbundle(options: argparse.Namespace) -> int:
    """Check; show or unpack."""
    with bundle.open(options.bundle, options.key) as opened:
        if options.output:
            opened.unpack(options.output)
            print(
                f"wrote {options.output}: {len(opened.manifest.members)} files of {_plain(opened.manifest.name)}"
            )
        else:
            print(json.dumps(_to_dict(opened)) if options.json else _page(opened))
    return 0


def run_keygen(options: argparse.Namespace) -> int:
    """Write both keys."""
    public = signature.generate(options.key)
    print(
        f"wrote {options.key}, which signs and stays secret, and {public}, which goes where bundles are opened"
    )
    return 0


def _to_dict(opened: Bundle) -> dict[str, Any]:
    signed = {"signer": opened.signer, "trusted": opened.trusted, "digest": opened.digest}
    return {**dataclasses.asdict(opened.manifest), **signed}


def _page(opened: Bundle) -> str:
    about = opened.manifest
    model = about.model
    rows = [
        ("bundle", about.name),
        (
            "model",
            f"{model.name}, numerics version {model.numerics_version}, {model.licence or 'no licence named'}",
        ),
        *(_target_rows(about.target) if about.target else [("hardware", "none: a model alone")]),
        *([("note", about.note)] if about.note else []),
        ("made with", f"edgellm {about.provenance.get('edgellm', 'unknown')}"),
        ("signature", _signature(opened)),
        ("digest", opened.digest),
    ]
    members = table(["file", "bytes", "SHA-256"], [(n, e.size, e.sha256) for n, e in about.members.items()])
    head = "\n".join(f"{title:<11}{_plain(text)}" for title, text in rows)
    return f"{head}\n\n{members}\n\nevery checksum is right"


def _target_rows(target: Target) -> Iterator[tuple[str, str]]:
    yield "board", f"{target.board} ({target.part}), {target.slots} slots, build 0x{target.build:08X}"
    yield "clock", f"{target.clock.mhz:g} MHz, source: {target.clock.source}"
    yield "blocks", ", ".join(target.blocks)
    made = target.bitstream
    if made is None:
        yield "bitstream", "none: RTL alone"
    else:
        yield (
            "bitstream",
            f"{made.design} for {made.part}, {made.tool or 'tool unknown'}, {made.date} {made.time}",
        )


def _signature(opened: Bundle) -> str:
    if opened.signer is None:
        return "none"
    return f"by {opened.signer}, " + ("verified" if opened.trusted else "not verified: give --key")


def _plain(text: str) -> str:
    """Without what a stranger's text could do to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
