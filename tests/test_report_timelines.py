"""Timelines: a bar a vector, in rows, with tips."""

from __future__ import annotations

import dataclasses
import re

import pytest
import studies

from edgellm.report import timelines

pytestmark = pytest.mark.fpga


def tips(drawing: str) -> list[str]:
    return re.findall(r"<title>([^<]*)</title>", drawing)


def test_one_token() -> None:
    drawing = timelines.token(studies.one_prompt())
    assert tips(drawing) == [
        "embed: cycles 0 to 31",
        "qkv_acc, layer 0: cycles 50 to 149",
        "attention, layer 0: cycles 160 to 180",
        "qkv_acc, layer 1: cycles 200 to 299",
        "attention, layer 1: cycles 310 to 330",
        "head_acc: cycles 350 to 499",
    ]
    assert "The way of the token at position 6 through the pipeline</title>" in drawing
    assert "500 cycles from the first beat of embed to the last of head_acc, simulated" in drawing


def test_colours_are_layers() -> None:
    drawing = timelines.token(studies.one_prompt())
    assert [f"layer {k}</text>" in drawing for k in range(3)] == [True, True, False]
    bar = dict(re.findall(r"<title>([^<]*)</title>.*?fill: var\(--chart-(\d+)\)", drawing, re.S))
    assert bar["embed: cycles 0 to 31"] == bar["head_acc: cycles 350 to 499"] == "3"
    assert bar["qkv_acc, layer 0: cycles 50 to 149"] == "4"
    assert bar["qkv_acc, layer 1: cycles 200 to 299"] == "5"


def test_several_slots() -> None:
    drawing = timelines.pipeline(studies.full_pipeline(), studies.NODES)
    assert tips(drawing) == [
        "head_acc, slot 0, position 9: cycles -10 to 100",
        "qkv_acc, slot 1, position 10, layer 1: cycles 20 to 119",
    ]
    assert "20 of the 1,000 cycles in which all of them generated" in drawing
    assert "qkv_acc sends most of the time, 70% of the cycles" in drawing


def test_rows_keep_the_order_of_the_report() -> None:
    drawing = timelines.pipeline(studies.full_pipeline(), studies.NODES)
    labels = [text for text in re.findall(r">([^<>]+)</text>", drawing) if text in studies.NODES]
    assert labels == ["qkv_acc", "head_acc"]


def test_many_layers_have_no_legend() -> None:
    one = studies.one_prompt()
    deep = [dataclasses.replace(one.spans[1], layer=layer) for layer in range(9)]
    drawing = timelines.token(dataclasses.replace(one, spans=deep))
    assert "layer 8:" in drawing
    assert "layer 0</text>" not in drawing
