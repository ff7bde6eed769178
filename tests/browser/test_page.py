"""The report in a real browser: quiet, usable by keyboard, readable by everyone, whole on paper."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1280, 900), (400, 800)
PAPER_PX = (182 / 25.4 * 96, 269 / 25.4 * 96)
"""Width and height of A4 within the page's margins of 14 mm."""
CLICK = "arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()"
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html)])),
  (error) => done([["axe", "critical", [String(error)]]]),
);
"""


def look(driver: Any, size: tuple[int, int], *, dark: bool = False, media: str = "") -> None:
    """Sets the window, the scheme of colours and the medium."""
    width, height = size
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


def open_all(driver: Any) -> None:
    """Opens every arm."""
    driver.execute_script("document.querySelectorAll('details').forEach((e) => { e.open = true })")


def requests(driver: Any) -> list[str]:
    """The addresses that the page has asked for since the last call."""
    entries = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
    ]


@pytest.fixture
def browser(driver: Any) -> Iterator[Any]:
    """The browser as a desktop, with empty logs."""
    look(driver, DESKTOP)
    driver.get("about:blank")
    driver.get_log("performance")
    driver.get_log("browser")
    yield driver
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# --- quiet ---------------------------------------------------------------------------------


def test_no_request_leaves_and_nothing_is_logged(browser: Any, address: str) -> None:
    """The page itself is all that is asked for, whatever the names in it, and no script fails."""
    browser.get(address)
    open_all(browser)
    asked = requests(browser)
    assert asked[0] == address
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert browser.get_log("browser") == []


def test_policy_stops_a_request(browser: Any, plain: str) -> None:
    """The page's own policy blocks what the page would ask for, if it held such a thing."""
    browser.get(plain)
    browser.set_script_timeout(30)
    stopped = browser.execute_async_script(
        "document.addEventListener('securitypolicyviolation', (e) => arguments[0](e.blockedURI));"
        "document.body.append(Object.assign(new Image(), {src: 'http://example.invalid/x.png'}))"
    )
    assert stopped == "http://example.invalid/x.png"
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    failed = [e["params"] for e in entries if e["method"] == "Network.loadingFailed"]
    assert [one["blockedReason"] for one in failed] == ["csp"]


def test_hostile_names_are_text(browser: Any, hostile: str) -> None:
    """No name becomes an element or a script; each is there to read."""
    browser.get(hostile)
    assert browser.execute_script("return document.scripts.length") == 2
    assert browser.execute_script("return document.querySelectorAll('img, iframe').length") == 0
    names = browser.execute_script(
        "return [...document.querySelectorAll('.arms tbody th a')].map((a) => a.textContent)"
    )
    assert "<script>alert('arm')</script>" in names
    assert any(name.startswith("nnn") for name in names)


# --- pictures and sound --------------------------------------------------------------------


def test_pictures_and_sound_load(browser: Any, spoken: str) -> None:
    """The policy lets the page show and play what it holds, and nothing is asked for."""
    browser.get(spoken)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('.cards img')]"
        ".map((e) => [e.complete, e.naturalWidth, e.naturalHeight, e.alt])"
    )
    assert len(sizes) >= 8
    assert all(size[:3] == [True, 50, 80] for size in sizes), sizes
    assert all(size[3].startswith("Spectrogram of ") for size in sizes)
    until(browser, "return [...document.querySelectorAll('audio')].every((e) => e.readyState > 0)")
    sounds = browser.execute_script(
        "return [...document.querySelectorAll('audio')].map((e) => [e.error, e.duration])"
    )
    assert len(sounds) == len(sizes)
    for error, duration in sounds:
        assert error is None
        assert duration == pytest.approx(5512 / 11025, abs=1e-3)
    assert {url.partition(":")[0] for url in requests(browser)} <= {"file", "data"}
    assert browser.get_log("browser") == []


def test_keys_play_a_recording(browser: Any, spoken: str) -> None:
    """A recording is reached by Tab, with a ring around it, and started by the space bar."""
    from selenium.webdriver.common.keys import Keys

    browser.get(spoken)
    browser.execute_script("document.querySelector('.cards h4').tabIndex = 0")
    browser.find_element("css selector", ".cards h4").send_keys(Keys.TAB)
    player = browser.switch_to.active_element
    assert player.tag_name == "audio"
    assert browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", player) == (
        "solid"
    )
    browser.execute_script("arguments[0].muted = true", player)
    player.send_keys(Keys.SPACE)
    until(browser, "return arguments[0].currentTime > 0.1", player)


def test_a_page_without_sound_plays_none(browser: Any, plain: str) -> None:
    """Where no sound was asked for, the policy stops even what the page itself would hold."""
    browser.get(plain)
    browser.set_script_timeout(30)
    stopped = browser.execute_async_script(
        "document.addEventListener('securitypolicyviolation',"
        " (e) => arguments[0](e.effectiveDirective));"
        "document.body.append(Object.assign(new Audio(), {src: 'data:audio/flac;base64,ZkxhQw=='}))"
    )
    assert stopped == "media-src"


def test_print_keeps_pictures_and_leaves_out_players(browser: Any, spoken: str) -> None:
    """On paper there is nothing to press; dark pictures are printed dark on light."""
    for media, dark, filtered in (("", True, "invert(1)"), ("print", True, "none")):
        look(browser, DESKTOP, dark=dark, media=media)
        browser.get(spoken)
        shown = browser.execute_script(
            "const of = (e) => getComputedStyle(e);"
            "return [of(document.querySelector('.cards img')).filter,"
            " of(document.querySelector('.cards audio')).display]"
        )
        assert shown == [filtered, "none" if media else "inline"]


def test_cards_stand_in_one_column_on_a_phone(browser: Any, spoken: str) -> None:
    """Side by side on a desktop, one below the other on a phone."""
    for size, n_columns in ((DESKTOP, 4), (PHONE, 1)):
        look(browser, size)
        browser.get(spoken)
        lefts = browser.execute_script(
            "return [...document.querySelectorAll('.cards > li')]"
            ".map((e) => e.getBoundingClientRect().left)"
        )
        assert len(set(lefts)) == n_columns


# --- the table and its rows ----------------------------------------------------------------


def test_headers_sort_the_table(browser: Any, address: str) -> None:
    """Each header sorts by its column, then the other way; what is unknown stays last."""
    browser.get(address)
    table = browser.find_element("css selector", "table.arms")
    heads = table.find_elements("css selector", "thead th")
    for column, head in enumerate(heads):
        kind = head.get_attribute("data-kind")
        if not kind:
            continue
        for click in range(2):
            head.find_element("css selector", "button").click()
            down = (kind == "number") == (click == 0)
            assert head.get_attribute("aria-sort") == ("descending" if down else "ascending")
            assert_sorted(browser, table, column, kind, down)


def assert_sorted(driver: Any, table: Any, column: int, kind: str, down: bool) -> None:
    """The column's keys are in order."""
    cells = "return [...arguments[0].tBodies[0].rows].map((r) => r.cells[arguments[1]])"
    if kind == "text":
        names = driver.execute_script(f"{cells}.map((c) => c.textContent.trim())", table, column)
        order = "return [...arguments[0]].sort((a, b) => a.localeCompare(b))"
        expected = driver.execute_script(order, names)
        assert names == (expected[::-1] if down else expected)
        return
    keys = driver.execute_script(f"{cells}.map((c) => c.dataset.key)", table, column)
    known = [float(key) for key in keys if key != ""]
    assert keys[len(known) :] == [""] * (len(keys) - len(known))
    assert known == sorted(known, reverse=down)


def test_a_row_opens_its_arm(browser: Any, address: str) -> None:
    """A row's link opens the arm, shows its confusion or errors, and opens it again if closed."""
    browser.get(address)
    link = browser.find_elements("css selector", ".arms tbody th a")[1]
    anchor = link.get_attribute("href").partition("#")[2]
    details = browser.find_element("id", anchor).find_element("xpath", "ancestor::details")
    for _ in range(2):
        assert details.get_attribute("open") is None
        browser.execute_script(CLICK, link)
        until(
            browser, "return document.getElementById(arguments[0]).closest('details').open", anchor
        )
        assert "Worst utterances" in details.text
        browser.execute_script("arguments[0].open = false", details)


def until(driver: Any, script: str, *given: Any) -> None:
    """Waits for the script to return what is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 20).until(lambda d: d.execute_script(script, *given))


# --- keyboard, no script, accessibility ----------------------------------------------------


def test_keyboard_reaches_everything(browser: Any, plain: str) -> None:
    """Tab comes by the skip link, every header, row and arm, each with a ring around it."""
    from selenium.webdriver.common.keys import Keys

    browser.get(plain)
    wanted = "return document.querySelectorAll('.arms button, .arms a, summary, .skip').length"
    n_wanted, seen = browser.execute_script(wanted), 0
    for _ in range(400):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        held = browser.execute_script(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "if (e === document.body) return null;"
            "return [e.matches('.arms button, .arms a, summary, .skip'),"
            " s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, e.outerHTML]"
        )
        if held is None:
            break
        assert held[1], held[2][:200]
        seen += held[0]
    assert seen == n_wanted > 10


def test_keys_sort_and_open(browser: Any, plain: str) -> None:
    """Enter on a header sorts, and on an arm's line opens it."""
    from selenium.webdriver.common.keys import Keys

    browser.get(plain)
    head = browser.find_elements("css selector", ".arms thead th[data-kind=number]")[1]
    head.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    summary = browser.find_element("css selector", "summary")
    summary.send_keys(Keys.ENTER)
    assert summary.find_element("xpath", "..").get_attribute("open") is not None


def test_without_script_everything_is_readable(browser: Any, address: str) -> None:
    """The table, the figures and every arm are there, and arms open by a click."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(address)
    assert browser.find_elements("css selector", ".arms button") == []
    rows = browser.find_elements("css selector", ".arms tbody tr")
    assert len(rows) > 3
    assert all(row.text for row in rows)
    assert all(f.rect["height"] > 50 for f in browser.find_elements("css selector", "figure"))
    for summary in browser.find_elements("css selector", "main section details summary")[:2]:
        summary.click()
        assert "Settings" in summary.find_element("xpath", "..").text


@pytest.mark.parametrize(
    ("size", "dark"),
    [(DESKTOP, False), (PHONE, False), (DESKTOP, True)],
    ids=["desktop", "phone", "dark"],
)
def test_axe_finds_no_fault(
    browser: Any, axe: str, address: str, size: tuple[int, int], dark: bool
) -> None:
    """With every arm open, axe-core finds nothing, of whatever impact."""
    look(browser, size, dark=dark)
    browser.get(address)
    open_all(browser)
    browser.execute_script(f"{axe}\nwindow.axe = axe;")
    browser.set_script_timeout(120)
    assert browser.execute_async_script(RUN_AXE) == []


# --- layout --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "dark"),
    [(DESKTOP, False), (PHONE, False), (DESKTOP, True)],
    ids=["desktop", "phone", "dark"],
)
def test_page_fits_the_window(
    browser: Any, address: str, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    """The page does not scroll sideways and keeps its scheme; leaves a screenshot to look at."""
    look(browser, size, dark=dark)
    browser.get(address)
    browser.find_element("css selector", "main details summary").click()
    browser.execute_script("scrollTo(0, 0)")
    root = "document.documentElement"
    width, height = browser.execute_script(f"return [{root}.scrollWidth, {root}.scrollHeight]")
    back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(height, 8000), "scale": 1}
    shot = {"captureBeyondViewport": True, "clip": clip}
    drawn = browser.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
    (tmp_path / "page.png").write_bytes(base64.b64decode(drawn))
    assert width <= size[0]
    assert back == ("rgb(21, 24, 29)" if dark else "rgb(255, 255, 255)")


def test_table_fits_a_desktop(browser: Any, address: str) -> None:
    """The ablation table is read without scrolling at 1280 pixels, whatever its columns."""
    browser.get(address)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('table.arms')]"
        ".map((t) => [t.scrollWidth, t.parentElement.clientWidth])"
    )
    assert boxes
    assert all(table <= place for table, place in boxes), boxes


def test_rows_are_named_in_whole_words(browser: Any, plain: str) -> None:
    """No row of an arm's tables breaks its name letter by letter."""
    browser.get(plain)
    open_all(browser)
    heights = browser.execute_script(
        "return [...document.querySelectorAll('.detail .small tbody th')]"
        ".map((t) => [t.textContent, t.getBoundingClientRect().height])"
    )
    assert heights
    assert all(height < 50 for _, height in heights), heights


def test_print_cuts_no_figure(browser: Any, address: str) -> None:
    """On A4 each figure is in one piece and on the sheet; the table fits a sheet, maybe turned."""
    look(browser, (round(PAPER_PX[0]), round(PAPER_PX[1])), media="print")
    browser.get(address)
    open_all(browser)
    figures = browser.execute_script(
        "return [...document.querySelectorAll('figure')].map((f) => {"
        " const b = f.getBoundingClientRect();"
        " const s = f.querySelector('svg').getBoundingClientRect();"
        " return [f.id, getComputedStyle(f).breakInside, b.height, Math.max(b.right, s.right)]})"
    )
    assert len(figures) > 3
    for name, inside, height, right in figures:
        assert inside == "avoid", name
        assert height <= PAPER_PX[1], name
        assert right <= PAPER_PX[0] + 1, name
    assert_tables_fit(browser)


def assert_tables_fit(driver: Any) -> None:
    """No table ends beyond its sheet, which lies on its side for one of many columns."""
    for which, room in zip(("table:not(.many)", "table.many"), PAPER_PX, strict=True):
        look(driver, (round(room), 900), media="print")
        ends = driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((t) => t.getBoundingClientRect().right)",
            which,
        )
        assert max(ends, default=0) <= room + 1, which


def test_print_opens_every_arm(browser: Any, plain: str) -> None:
    """Printing opens the arms and closes them again."""
    browser.get(plain)
    browser.execute_script(
        "addEventListener('beforeprint', () => { setTimeout(() => {}, 0);"
        " window.opened = document.querySelectorAll('details:not([open])').length })"
    )
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    assert base64.b64decode(made).startswith(b"%PDF")
    assert browser.execute_script("return window.opened") == 0
    assert browser.find_elements("css selector", "details[open]") == []


# --- the filter ----------------------------------------------------------------------------

SHOWN = (
    "return [...document.querySelectorAll('.arms')[0].tBodies[0].rows]"
    ".filter((r) => r.getBoundingClientRect().height > 0)"
    ".map((r) => r.cells[0].querySelector('a').textContent)"
)
PLACES = (
    "return [...document.querySelectorAll('.arms thead th')]"
    ".flatMap((t) => { const b = t.getBoundingClientRect(); return [b.left, b.width, b.top] })"
)


def choose(driver: Any, kind: str) -> None:
    """Chooses a kind of row."""
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("css selector", ".filter select")).select_by_value(kind)


def test_filter_keeps_what_has_all_words(browser: Any, plain: str) -> None:
    """By typing, in any order and case; the rest comes back when the field is empty."""
    from selenium.webdriver.common.keys import Keys

    browser.get(plain)
    everything = browser.execute_script(SHOWN)
    field = browser.find_element("css selector", ".filter input")
    told = browser.find_element("css selector", ".filter output")
    before = browser.execute_script(PLACES)
    field.send_keys("MAX pool")
    assert browser.execute_script(SHOWN) == ["pooling=max"]
    assert told.text == f"1 of {len(everything)} rows"
    assert browser.execute_script(PLACES) == pytest.approx(before, abs=1)
    field.send_keys(Keys.END, "x")
    assert browser.execute_script(SHOWN) == []
    assert told.text == f"0 of {len(everything)} rows"
    field.clear()
    field.send_keys("a", Keys.BACKSPACE)
    assert browser.execute_script(SHOWN) == everything
    assert browser.execute_script(PLACES) == pytest.approx(before, abs=1)


def test_filter_keeps_kinds_and_goes_with_sorting(browser: Any, plain: str) -> None:
    """What is worse, then sorted; a row that is left still opens its arm, whichever is open."""
    browser.get(plain)
    choose(browser, "worse")
    worse = browser.execute_script(SHOWN)
    assert set(worse) == {"pooling=mean", "filters=time"}
    heads = browser.find_elements("css selector", ".arms thead th[data-kind=number] button")
    for _ in range(2):
        heads[0].click()
        assert set(browser.execute_script(SHOWN)) == set(worse)
    assert browser.execute_script(SHOWN) == ["pooling=mean", "filters=time"]
    open_all(browser)
    browser.execute_script("document.querySelectorAll('details')[0].open = false")
    link = browser.find_element("link text", "filters=time")
    browser.execute_script(CLICK, link)
    anchor = link.get_attribute("href").partition("#")[2]
    until(browser, "return document.getElementById(arguments[0]).closest('details').open", anchor)
    browser.find_element("css selector", ".filter input").send_keys("pool")
    assert browser.execute_script(SHOWN) == ["pooling=mean"]
    choose(browser, "baseline")
    assert browser.execute_script(SHOWN) == []
    browser.find_element("css selector", ".filter input").clear()
    choose(browser, "baseline")
    assert browser.execute_script(SHOWN) == ["svm"]


def test_kinds_are_those_of_the_rows(browser: Any, address: str) -> None:
    """No choice is without a row, and every row has one."""
    browser.get(address)
    offered, held = browser.execute_script(
        "return [[...document.querySelector('.filter select').options].slice(1)"
        ".map((o) => o.value), [...document.querySelector('.arms').tBodies[0].rows]"
        ".map((r) => r.dataset.kinds.split(' '))]"
    )
    assert set(offered) == {kind for kinds in held for kind in kinds}
    assert all(held)


def test_filter_is_used_and_told_by_the_keyboard(browser: Any, plain: str) -> None:
    """Tab goes from the field to the kinds; the result is a live region."""
    from selenium.webdriver.common.keys import Keys

    browser.get(plain)
    browser.find_element("css selector", ".filter input").send_keys("pooling", Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.tag_name == "select"
    focused.send_keys("worse")
    assert browser.execute_script(SHOWN) == ["pooling=mean"]
    told = browser.find_element("css selector", ".filter output")
    assert told.aria_role == "status"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_without_script_there_is_no_filter_and_no_jump(
    browser: Any, plain: str, size: tuple[int, int]
) -> None:
    """The table stands in the same place with the filter and without."""
    look(browser, size)
    tops = []
    for off in (False, True):
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": off})
        browser.get(plain)
        shown = browser.find_element("css selector", ".filter").is_displayed()
        assert shown != off
        tops.append(browser.find_element("css selector", ".arms").rect["y"])
    assert tops[0] == pytest.approx(tops[1], abs=1)


def test_print_has_every_row(browser: Any, plain: str) -> None:
    """Filtered or not, and within the sheet."""
    browser.get(plain)
    everything = browser.execute_script(SHOWN)
    browser.find_element("css selector", ".filter input").send_keys("svm")
    look(browser, (round(PAPER_PX[0]), 900), media="print")
    assert browser.execute_script(SHOWN) == everything
    assert not browser.find_element("css selector", ".filter").is_displayed()
    assert_tables_fit(browser)
