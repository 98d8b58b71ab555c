"""What the report page is to those who read it: in the dark, on a phone, on paper, next year."""

import csv
import html
import os
import sys
from contextlib import nullcontext
from datetime import datetime, timezone

import pytest
from commands import run
from nets import data, fc, layer

from netbuild import fuse_weights, proto
from netbuild.errors import NetbuildError
from netbuild.proto import parsed
from netbuild.show.findings import gather_report
from netbuild.show.report import write_report
from netbuild.train.log import read_log

LOG = "iteration,seconds,phase,name,value\n"


@pytest.fixture()
def page(fused):
    """The page of a net that was evaluated and has a log, but nothing else of a training."""
    (fused / "train_log.csv").write_text(LOG + "1,0.1,TRAIN,loss,2.5\n2,0.2,TRAIN,loss,1.5\n2,0.2,TEST,accuracy,0.75\n")
    write_report(gather_report(fused), fused / "report.html", evaluation=evaluated(fused))
    return fused / "report.html"


def evaluated(fused):
    """Five images of each of ten labels; to three of label 3 (images 3, 23, 43) the net says 9."""
    np = pytest.importorskip("numpy")
    from netbuild.data.lists import ListedImages
    from netbuild.evaluation.score import Answers, Evaluation

    labels = np.arange(50) % 10
    said = np.where((labels == 3) & (np.arange(50) % 20 == 3), 9, labels)
    probabilities = np.eye(10, dtype=np.float32)[said]
    listing = ListedImages([f"{number}.png" for number in range(50)], labels)
    return Evaluation(listing, (Answers(str(fused / "train_val.prototxt"), "net", tuple(range(10)), probabilities),))


def test_the_date_is_of_the_files_and_not_of_the_page(fused):
    old = datetime(2020, 2, 3, tzinfo=timezone.utc).timestamp()
    for file in fused.iterdir():
        os.utime(file, (old, old))
    output = fused / "report.html"
    write_report(gather_report(fused), output)
    first = output.read_bytes()
    assert b"files of 2020-02-03" in first
    write_report(gather_report(fused), output)
    assert output.read_bytes() == first


@pytest.mark.parametrize("value", ["nan", "inf", "0.0", "-1"])
def test_losses_without_a_logarithm_are_drawn(fused, value):
    (fused / "train_log.csv").write_text(f"{LOG}1,0.1,TRAIN,loss,{value}\n2,0.2,TRAIN,loss,0.0\n")
    assert isinstance(gather_report(fused).trainings[0].curves, bytes)


def test_a_log_that_cannot_be_read(fused):
    (fused / "train_log.csv").mkdir()
    output = fused / "report.html"
    run("report", fused, "-o", output)
    assert "train_log.csv&#39;: is a folder, and a file is expected" in output.read_text(encoding="utf-8")
    (fused / "train_log.csv").rmdir()
    (fused / "train_log.csv").write_text(LOG + "1,0.1,TRAIN,\0,2.5\n")
    with (
        pytest.raises(NetbuildError, match="is not one of netbuild's") if sys.version_info < (3, 11) else nullcontext()
    ):
        read_log(fused / "train_log.csv")


def test_all_words_stand_out_from_what_is_behind_them(page, browser):
    for scheme in ("light", "dark"):
        shown = browser.new_page(color_scheme=scheme)
        shown.goto(page.as_uri())
        shown.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        found = shown.evaluate(CONTRASTS)
        assert len(found) > 100
        assert [one for one in found if one["contrast"] < 4.5] == []
        shown.close()


CONTRASTS = """() => {
    const parse = (color) => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
    const light = (color) => {
        const [r, g, b] = color.map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const [r, g, b, a] = parse(getComputedStyle(element).backgroundColor);
        const under = a < 1 && element.parentElement ? behind(element.parentElement) : [255, 255, 255];
        return [r, g, b].map((value, at) => a * value + (1 - a) * under[at]);
    };
    const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    return [...document.querySelectorAll("body, body *:not(svg *)")].filter(own).map((element) => {
        const ink = light(parse(getComputedStyle(element).color)), paper = light(behind(element));
        return { words: element.textContent, contrast: (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) };
    });
}"""


def test_right_and_wrong_answers_look_different(page, browser):
    shown = browser.new_page()
    shown.goto(page.as_uri())
    assert shown.locator(".matrix .hit").count() == 10
    (wrong,) = shown.locator(".matrix .miss").all()
    assert wrong.inner_text() == "3"
    ground = "(element) => getComputedStyle(element).backgroundColor"
    assert wrong.evaluate(ground) != shown.locator(".matrix .hit").first.evaluate(ground)
    shown.close()


def test_pictures_follow_the_dark(page, browser):
    for scheme in ("light", "dark"):
        shown = browser.new_page(color_scheme=scheme)
        shown.goto(page.as_uri())
        filters = shown.locator(".card img, .card svg").evaluate_all(
            "(all) => all.map((e) => getComputedStyle(e).filter)"
        )
        assert filters
        assert all(("invert" in one) == (scheme == "dark") for one in filters)
        shown.close()


def test_a_phone_scrolls_tables_and_pictures_but_not_the_page(page, browser):
    shown = browser.new_page(viewport={"width": 375, "height": 800})
    shown.goto(page.as_uri())
    shown.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 375
    assert shown.locator(".card img").bounding_box()["width"] > 600
    # A caption is read without scrolling its table.
    for caption in shown.locator("caption span").all():
        assert caption.bounding_box()["width"] < 375
    shown.close()


def test_paper_has_no_folds(page, browser):
    shown = browser.new_page()
    shown.goto(page.as_uri())
    if not shown.evaluate("CSS.supports('selector(details::details-content)')"):
        pytest.skip("this Chromium cannot print what is folded (131 and later can)")
    cell = shown.locator("details td").first
    assert not cell.is_visible()
    shown.emulate_media(media="print")
    assert cell.bounding_box()["height"] > 0
    shown.close()


HOSTILE = "\x1b[31m\x07</script><b>\u202e$\\foo$\n\0"


def test_names_reach_the_page_without_control_characters(in_tmp, caffe):
    """A folder, a net, layers, a branch, a weight file's record and a log's column called by what a terminal obeys."""
    folder = in_tmp / "\x1b[2J\u202e"
    folder.mkdir()
    message = parsed(
        data(shape=(1, 3)) + fc("a", "data") + fc("b", "data") + layer("join", "Concat", "a b") + fc("h", "join")
    )
    message.name = HOSTILE
    for one in message.layer[1:3]:
        one.name = one.top[0] = f"{HOSTILE}/{one.name}"
    message.layer[3].bottom[:] = [one.name for one in message.layer[1:3]]
    message.layer.add(name=HOSTILE, type="Softmax", bottom=["h"], top=[HOSTILE])
    proto.write(folder / "deploy.prototxt", message)
    weights = caffe.proto.caffe_pb2.NetParameter()
    for one in ("a", "b"):
        added = weights.layer.add(name=one, type="InnerProduct")
        added.blobs.add(data=[0] * 9).shape.dim.extend([3, 3])
        added.blobs.add(data=[0] * 3).shape.dim.extend([3])
    (in_tmp / "w\x1b.caffemodel").write_bytes(weights.SerializeToString())
    fuse_weights(folder / "deploy.prototxt", {HOSTILE + "/": in_tmp / "w\x1b.caffemodel"}, folder / "init.caffemodel")
    with (folder / "train_log.csv").open("w", newline="") as log:
        rows = [
            LOG.strip().split(","),
            [1, 0.1, "TEST", "loss" + HOSTILE[:-1], 2.5],
            [2, 0.2, "TEST", HOSTILE[:-1], 2.5],
        ]
        csv.writer(log).writerows(rows)
    write_report(gather_report(folder, [HOSTILE + "/"]), folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not {one for one in text if not one.isprintable()} - {"\n"}
    assert "</script>" not in text and "<b>" not in text
    shown = html.escape(repr(HOSTILE)[1:-1].replace("\\\\foo", "\\foo"))
    assert f"<title>{shown}: {shown}/</title>" in text
    assert f'<th scope="row">{shown}/a</th>' in text
    assert "\\x1b[2J\\u202e" in text and "w\\x1b.caffemodel" in text
    assert isinstance(gather_report(folder, [HOSTILE + "/"]).trainings[0].curves, bytes)
