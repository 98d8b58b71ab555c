"""The report page: what it tells, what it says is missing, and how it behaves in a browser."""

import re
import shutil
from html.parser import HTMLParser

import pytest
from commands import invoke
from nets import small

from netbuild import train_solver
from netbuild.show.findings import Missing, gather_report
from netbuild.show.report import write_report


class Page(HTMLParser):
    """The page's elements, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(folder, **more):
    write_report(gather_report(folder), folder / "report.html", **more)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture()
def done(fused):
    """The fused net, its head trained for 20 iterations."""
    train_solver(fused / "solver.prototxt", fused, weights=[fused / "init.caffemodel"], max_iter=20)
    return fused


def test_the_command_tells_all(done, trained, small_lists):
    output = done / "r.html"
    lists = ("--train-source", small_lists.path("train_odd"), "--test-source", small_lists.path("val_odd"))
    invoke("emit", "lenet", "--classes", "5", *lists, "-o", done / "alone")
    alone = done / "alone" / "train_val.prototxt"
    result = invoke(
        *("report", done, "-o", output, "--branch", f"a={alone}", "--branch", f"b={trained / 'lenet.prototxt'}"),
        *("--source", small_lists.path("test_all"), "--labels", "a=1,3,5,7,9"),
    )
    assert result.stdout == f"{output}\n"
    found = Page(output.read_text(encoding="utf-8"))
    assert "a : bit-equal in 6 layers up to a/ip1 (20 x 500)" in found.text.replace("a: ", "a : ")
    assert found.text.count("6 blobs as in") == 2
    assert "Begin as their fillers say: ip2." in found.text
    assert "20 iterations" in found.text
    assert "40 images, each counted once" in found.text
    assert "a branch, own labels 20" in found.text
    assert "b branch" not in found.text
    # 862,150: twice LeNet's 426,070 up to ip1, and 1000 x 10 + 10.
    assert "whole net 18 862,150 10,010 4,586,000" in found.text
    matrix = re.search(r'class="matrix">.*?<tbody>(.*?)</tbody>', output.read_text(encoding="utf-8"), re.DOTALL)[1]
    cells = [int(cell or 0) for cell in re.findall(r"<td[^>]*>(\d*)</td>", matrix)]
    assert len(cells) == 100
    assert sum(cells) == 40


def test_it_needs_nothing_from_elsewhere(done):
    found = page(done)
    sources = [
        value for _, attributes in found.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert sources
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert not [tag for tag, _ in found.elements if tag in ("script", "link", "iframe", "object")]


def test_what_is_not_there_is_said(in_tmp):
    (in_tmp / "deploy.prototxt").write_text(small())
    found = page(in_tmp)
    for told in (
        "No weights were copied yet: netbuild fuse",
        "Nothing was trained here yet: netbuild train",
        "No list of images was given to evaluate on",
        "were not run against their originals for this page",
    ):
        assert told in found.text
    assert "holds no fusion" in invoke("report", in_tmp / "empty", "-o", "r.html", code=1).output
    assert "--labels PREFIX" in invoke("report", in_tmp, "-o", "r.html", "--labels", "a=1", code=2).output
    assert "name it report.html" in invoke("report", in_tmp, "-o", "deploy.prototxt", code=2).output
    assert (in_tmp / "deploy.prototxt").read_text() == small()


def test_what_is_broken_is_said_in_its_place(done, trained, monkeypatch):
    (done / "init.caffemodel.json").write_text("{")
    found = page(done)
    assert "is not one of netbuild's; remove or rename it" in found.text
    assert "20 iterations" in found.text
    (done / "train_log.csv").write_text("iteration,phase\nx,y\n")
    assert "train_log.csv': is not one of netbuild's" in page(done).text
    monkeypatch.setenv("PATH", "")
    assert isinstance(gather_report(done).picture, Missing)
    assert "need Graphviz" in page(done).text


def test_a_snapshot_of_another_net_is_not_the_trained_one(done, trained):
    shutil.copy(trained / "a.caffemodel", done / "lenet_iter_9000.caffemodel")
    (done / "s_iter_9001.caffemodel").write_bytes(b"broken")
    assert gather_report(done).trained == done / "s_iter_20.caffemodel"


def test_names_are_text(in_tmp):
    evil = "<script>alert(1)</script>"
    (in_tmp / "deploy.prototxt").write_text(small().replace('"fc1"', f'"{evil}"').replace('"Small"', f'"{evil}"'))
    found = page(in_tmp)
    assert "script" not in {tag for tag, _ in found.elements}
    assert evil in "".join(found.words)


CONTRAST = """() => {
    const light = (color) => {
        const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return ["body", "a", ".soft", ".good", ".missing", "summary"].map((name) => document.querySelector(name))
        .filter(Boolean).map((element) => light(getComputedStyle(element).color))
        .map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (375, "dark")])
def test_in_a_browser(done, browser, width, scheme):
    page(done)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    shown = context.new_page()
    told, asked = [], []
    shown.on("console", lambda message: told.append(message.text))
    shown.on("pageerror", lambda error: told.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto((done / "report.html").as_uri())
    assert told == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert min(shown.evaluate(CONTRAST)) >= 4.5
    # By keyboard alone: to a fold, open it, and the way past the contents.
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "To the content"
    for _ in range(40):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    shown.keyboard.press("Enter")
    assert shown.locator("details[open]").count() == 1
    assert shown.locator("details[open] td").first.is_visible()
    context.close()


def test_on_paper(done, browser):
    page(done)
    shown = browser.new_page()
    shown.goto((done / "report.html").as_uri())
    assert shown.pdf().startswith(b"%PDF")
    shown.emulate_media(media="print")
    assert not shown.locator("nav").is_visible()
    # Nothing is cut off by a box that scrolls.
    assert shown.evaluate("getComputedStyle(document.querySelector('.card')).maxHeight") == "none"
    shown.close()
