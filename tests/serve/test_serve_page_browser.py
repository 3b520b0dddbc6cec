"""The page in a real browser: chat, what goes wrong, live figures, keyboard, screen readers, sizes, colours."""

import re
import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from page_app import KEY, FakeService, FakeWorker, Site
from playwright.sync_api import expect, sync_playwright

from edgellm.errors import Overloaded, PromptTooLong
from edgellm.serve.orders import WorkerState
from edgellm.serve.served import Readiness

pytestmark = pytest.mark.programs
LIMIT = 60_000  # ms that anything may take on a busy machine
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 320, "height": 640}
expect.set_options(timeout=LIMIT)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(tmp_path):
    return Site(FakeService(tmp_path, workers=[FakeWorker("native-0", slots=4)]))


@pytest.fixture
def base(site):
    with site.running() as base:
        yield base


@pytest.fixture
def opened(browser, base):
    """Opens pages; they are closed before the server.

    At the end: no request went elsewhere, and nothing was complained about that the test does not expect.
    """
    requests, complaints, contexts, expected = [], [], [], []

    def open_page(base, *complaints_expected, **options):
        expected.extend([base, *complaints_expected])
        context = browser.new_context(**{"viewport": WIDE, **options})
        context.set_default_timeout(LIMIT)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{base}/")
        contexts.append(context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert requests
    assert [url for url in requests if not url.startswith(f"{expected[0]}/")] == []
    assert [text for text in complaints if not any(known in text for known in expected[1:])] == []


@pytest.fixture
def page(opened, base):
    page = opened(base)
    expect(page.locator("#status")).to_have_attribute("data-state", "ready")
    return page


def send(page, text="hello"):
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def until(condition):
    """Wait for something that happens in the server."""
    for _ in range(LIMIT // 10):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never happened")


def answers(page):
    return page.locator(".answer")


def test_enter_sends_and_the_answer_streams_in(site, page):
    site.script.answers.append("Turned on the light.")
    site.script.pause, site.script.cached = 0.1, 3
    page.evaluate(
        """() => {
          window.seen = new Set();
          new MutationObserver(() => window.seen.add(document.querySelector(".answer .text")?.textContent))
            .observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    send(page, "turn on the light")
    expect(page.locator(".question .text")).to_have_text("turn on the light")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    expect(answers(page).locator(".text")).to_have_text("Turned on the light.")
    expect(answers(page).locator(".facts li")).to_have_text(
        [
            "20 tokens",
            "40,000 tokens/s",
            "first token after 234 µs",
            "native",
            "generated, 3 of 17 prompt tokens cached",
        ]
    )
    seen = page.evaluate("[...window.seen]")
    assert {"Turn", "Turned on th"} <= {*seen}
    assert site.chat.asked == [
        {
            "model": "toy",
            "messages": [{"role": "user", "content": "turn on the light"}],
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("cache", "from the response cache"),
        ("shared", "shared with an identical request"),
        ("generated", "generated, nothing cached"),
    ],
)
def test_an_answer_says_where_it_came_from(site, page, origin, words):
    site.script.origin = origin
    send(page)
    expect(answers(page).locator(".facts li").last).to_have_text(words)


def test_an_answer_with_an_intent_has_its_form_apart(site, page):
    site.script.answers.append("HassTurnOn area= living room domain= light\tTurned on the lights")
    send(page)
    expect(page.locator(".form span")).to_have_text(["HassTurnOn", "area: living room", "domain: light"])
    expect(answers(page).locator(".text")).to_have_text("Turned on the lights")


def test_text_is_text_whatever_it_looks_like(site, page):
    nasty = "<img src=x onerror=alert(1)>\n<script>alert(2)</script>"
    site.script.answers.append(nasty)
    send(page, nasty)
    for text in (page.locator(".question .text"), answers(page).locator(".text")):
        expect(text).to_have_text(nasty, use_inner_text=True)
    assert page.locator(".turns img, .turns script").count() == 0


def test_parameters_are_sent(site, page):
    page.locator("summary").click()
    page.get_by_label("Temperature").fill("0.7")
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Most tokens").fill("9")
    page.get_by_label("Stop at").fill("stop here\nor there")
    expect(page.locator("#chosen")).to_have_text("toy · temperature 0.7 · seed 5 · at most 9 · stops: 2")
    send(page)
    expect(answers(page).locator(".facts li").first).to_be_visible()
    asked = site.chat.asked[0]
    wanted = {"temperature": 0.7, "seed": 5, "max_tokens": 9, "stop": ["stop here", "or there"]}
    assert {name: asked[name] for name in wanted} == wanted


def test_a_parameter_that_cannot_be_meant_is_not_sent(site, page):
    page.locator("summary").click()
    page.get_by_label("Most tokens").fill("0")
    page.locator("summary").click()
    send(page)
    expect(page.get_by_label("Most tokens")).to_be_focused()
    expect(page.get_by_label("Message", exact=True)).to_have_value("hello")
    assert site.chat.asked == []


def test_one_of_several_models_is_chosen(opened, tmp_path):
    site = Site(FakeService(tmp_path / "several", names=("one", "two")))
    with site.running() as base:
        page = opened(base)
        expect(page.get_by_label("Model")).to_have_value("one")
        page.locator("summary").click()
        page.get_by_label("Model").select_option("two")
        expect(page.locator("#live-model")).to_have_text("two")
        expect(page.locator("#empty-title")).to_have_text("Say something to two")
        send(page)
        expect(answers(page).locator(".facts li").first).to_be_visible()
        assert site.chat.asked[0]["model"] == "two"
        page.close()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_cancels_the_answer_at_once(site, page, how):
    site.script.answers.append("word " * 200)
    site.script.pause = 0.05
    send(page)
    expect(answers(page).locator(".text")).to_contain_text("word")
    if how == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    expect(answers(page).locator(".facts li")).to_have_text(["stopped"])
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    until(lambda: site.script.stopped == 1)
    expect(page.locator("#outcomes")).to_contain_text("cancelled")
    expect(answers(page).locator(".problem")).to_be_hidden()


def test_enter_while_an_answer_comes_keeps_the_message(site, page):
    site.script.answers.append("word " * 200)
    site.script.pause = 0.05
    send(page, "first")
    expect(answers(page).locator(".text")).to_contain_text("word")
    send(page, "second")
    expect(page.get_by_label("Message", exact=True)).to_have_value("second")
    here = answers(page).locator(".text").text_content()
    expect(answers(page).locator(".text")).not_to_have_text(here)  # and the answer goes on
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.keyboard.press("Escape")
    assert len(site.chat.asked) == 1


def test_a_busy_server_is_told_of_and_tried_again(site, opened, base):
    page = opened(base, "429")
    site.script.answers.extend([Overloaded("256 requests wait, which is all that may", 2.5), "Now."])
    expect(page.get_by_label("Model")).to_have_value("toy")
    send(page)
    problem = answers(page).locator(".problem")
    expect(problem).to_contain_text(
        "The server is busy. 256 requests wait, which is all that may. Try again in 3 s."
    )
    expect(page.locator("#announcer")).to_contain_text("The server is busy.")
    problem.get_by_role("button", name="Retry").click()
    expect(answers(page).locator(".text")).to_have_text("Now.")
    expect(problem).to_be_hidden()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    assert site.chat.asked[0] == site.chat.asked[1]
    assert answers(page).count() == 1


def test_a_message_that_is_refused_can_be_changed(site, opened, base):
    page = opened(base, "400")
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.script.answers.append(PromptTooLong("the prompt has 303 tokens, the context holds 256: shorten it"))
    send(page, "too long")
    problem = answers(page).locator(".problem")
    expect(problem).to_contain_text("The prompt has 303 tokens, the context holds 256: shorten it.")
    problem.get_by_role("button", name="Edit the message").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("too long")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()


def test_a_connection_that_is_cut_is_told_of_and_tried_again(site, page):
    site.chat.cut_after = 2
    site.script.answers.extend(["A long answer", "A long answer"])
    send(page)
    problem = answers(page).locator(".problem")
    expect(problem).to_contain_text("The connection was lost before the answer was complete.")
    expect(answers(page).locator(".text")).to_have_text("A long a")
    problem.get_by_role("button", name="Retry").click()
    expect(answers(page).locator(".text")).to_have_text("A long answer")


def test_an_error_in_the_middle_is_told_of(site, page):
    site.chat.fail_after = 1
    site.script.answers.append("A long answer")
    send(page)
    expect(answers(page).locator(".problem")).to_contain_text("Back end native broke down.")


def test_a_server_that_starts_again_is_told_of(site, opened):
    with site.running() as base:
        page = opened(base, "ERR_")
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
    port = int(base.rpartition(":")[2])
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The server cannot be reached.")
    expect(page.locator("#status-text")).to_have_text("not connected")
    send(page)
    expect(answers(page).locator(".problem")).to_contain_text("The server cannot be reached.")
    with site.running(port):
        banner.get_by_role("button", name="Try now").click()
        expect(banner).to_contain_text("The server was started again and is back.")
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
        answers(page).get_by_role("button", name="Retry").click()
        expect(answers(page).locator(".text")).to_have_text("Yes.")
        banner.get_by_role("button", name="Close").click()
        expect(banner).to_be_hidden()
        page.close()


def test_a_key_is_asked_for_and_kept_in_the_tab(site, opened, base):
    site.locked = True
    page = opened(base, "401")
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("The server asks for an API key.")
    expect(dialog.get_by_label("Key", exact=True)).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("The server does not accept this API key.")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#status")).to_have_attribute("data-state", "ready")
    send(page)
    expect(answers(page).locator(".text")).to_have_text("Yes.")
    page.reload()
    expect(page.locator("#status")).to_have_attribute("data-state", "ready")
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_without_a_key_the_page_says_so_and_asks_again(site, opened, base):
    site.locked = True
    page = opened(base, "401")
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    page.keyboard.press("Escape")
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The server asks for an API key.")
    banner.get_by_role("button", name="Give a key").click()
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#status")).to_have_attribute("data-state", "ready")


def test_no_key_is_kept_where_none_is_asked_for(page):
    send(page)
    expect(answers(page).locator(".facts li").first).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_live_figures_move(site, page):
    worker = site.service.workers[0]
    expect(page.locator("#workers")).to_contain_text("0 of 4 slots busy")
    worker.now = WorkerState(True, 3, 2, 640)
    expect(page.locator("#workers .note")).to_have_text("3 of 4 slots busy, 2 queued, 640 tokens kept")
    cells = page.locator("#workers i")
    assert [cells.nth(i).evaluate("cell => cell.style.getPropertyValue('--full')") for i in range(4)] == [
        "100%",
        "100%",
        "100%",
        "0%",
    ]
    expect(page.locator("#waiting")).to_have_text("3 of at most 256")
    expect(page.locator("#open")).to_have_text("0")
    expect(page.locator("#latency-note")).to_have_text("no answers yet")
    site.script.cached = 2
    for origin in ("generated", "cache", "cache", "shared"):
        site.script.origin = origin
        send(page)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(answers(page).last.locator(".facts li").first).to_be_visible()
    expect(page.locator("#latency-note")).to_have_text("of the last 4 answers")
    expect(page.locator("#response-share")).to_have_text("75 %")
    expect(page.locator("#response-note")).to_have_text("2 from the cache, 1 shared, 1 generated; 12 stored")
    expect(page.locator("#prefix-share")).to_have_text("40 %")
    expect(page.locator("#outcomes")).to_have_text("ended by themselves4")
    expect(page.get_by_role("row", name="First token").get_by_role("cell").first).to_have_text(
        re.compile(r"^[\d.]+ (µs|ms|s)$")
    )
    expect(page.locator("#rate")).not_to_have_text("0")
    expect(page.locator("#peak")).to_have_text(re.compile("most: [1-9]"))
    assert "V" in page.locator("#spark path").get_attribute("d")


def test_requests_in_progress_are_a_mean(site, page):
    site.script.answers.append("word " * 400)
    site.script.pause = 0.05
    send(page)
    expect(page.locator("#open")).to_have_text(re.compile(r"^(0\.9\d?|1|1\.\d+)$"))
    page.keyboard.press("Escape")
    expect(page.locator("#open")).to_have_text("0")


def test_a_back_end_that_failed_and_a_service_that_is_not_ready(site, page):
    site.service.workers[0].now = WorkerState(False, failures=("native: it crashed",))
    site.service.ready = Readiness(False, ["no back end of toy works"])
    expect(page.locator("#workers .state")).to_have_text("native, not working")
    expect(page.locator("#workers .note")).to_contain_text("Given up: native: it crashed")
    expect(page.locator("#status-text")).to_have_text("not ready: no back end of toy works")


def test_a_page_that_nobody_sees_does_not_watch(site, page):
    """A hidden page ends its stream; one that is seen again goes on."""
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)

    def still():
        before = site.service.workers[0].looks
        threading.Event().wait(0.3)
        return site.service.workers[0].looks == before

    until(still)
    page.evaluate(hide, False)
    until(lambda: not still())
    expect(page.locator("#banner")).to_be_hidden()


FOCUSED = """() => {
  const it = document.activeElement;
  return it.id || it.className || it.tagName.toLowerCase() + (it.textContent ? ":" + it.textContent.trim() : "");
}"""


def test_everything_can_be_reached_by_keyboard_in_the_order_of_reading(site, page):
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(page.evaluate(FOCUSED))
        shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert shown == "solid", order[-1]
    assert order == ["skip", "toggle-live", "log", "summary:Parameters toy · greedy", "message", "send"]


def test_a_conversation_by_keyboard_alone(site, opened, base):
    page = opened(base, "429")
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.script.answers.extend([Overloaded("full", 1), "Good evening."])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # to the message field
    assert page.evaluate(FOCUSED) == "message"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")  # open the parameters
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "temperature"
    page.keyboard.type("1")
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "message"
    page.keyboard.type("good")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("evening")
    page.keyboard.press("Enter")
    expect(answers(page).locator(".problem")).to_be_visible()
    for _ in range(7):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate(FOCUSED) == "plain"
    page.keyboard.press("Enter")
    expect(answers(page).locator(".text")).to_have_text("Good evening.")
    assert page.evaluate(FOCUSED) == "message"
    assert site.chat.asked[1]["messages"][0]["content"] == "good\nevening"


def test_a_screen_reader_hears_answers_once_and_not_token_by_token(site, page):
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => window.said.push(document.getElementById("announcer").textContent))
            .observe(document.getElementById("announcer"), { childList: true, characterData: true });
        }"""
    )
    site.script.answers.append("It is eight in the evening.")
    site.script.pause = 0.05
    send(page)
    expect(answers(page)).to_have_attribute("aria-busy", "true")
    expect(answers(page).locator(".facts li").first).to_be_visible()
    expect(answers(page)).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("#announcer")).to_have_text("Answer: It is eight in the evening.")
    assert page.evaluate("window.said") == ["The model answers.", "Answer: It is eight in the evening."]


def test_landmarks_headings_and_names(site, page):
    send(page)
    expect(answers(page).locator(".facts li").first).to_be_visible()
    for role, name in (
        ("banner", None),
        ("main", "Chat"),
        ("complementary", "Live figures toy"),
        ("region", "Conversation"),
    ):
        assert page.get_by_role(role, **({"name": name} if name else {})).count() == 1, role
    levels = page.eval_on_selector_all(
        "h1, h2, h3", "found => found.filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = page.eval_on_selector_all("button, input, select, textarea", "found => found.length")
    named = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea")]
             .filter(it => it.textContent.trim() || it.labels?.length).length"""
    )
    assert named >= nameless - page.locator("#banner-action").count()
    assert page.locator("#toggle-live").get_attribute("aria-expanded") == "true"
    assert page.locator("svg[role=img]").get_attribute("aria-label").startswith("Tokens in each second")
    assert page.locator("img:not([alt])").count() == 0


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (it) => {
    for (; it; it = it.parentElement) {
      const [r, g, b, alpha = 1] = parse(getComputedStyle(it).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let checked = 0;
  while (texts.nextNode()) {
    const it = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !it.checkVisibility() || it.closest("script, template, noscript")) continue;
    const [one, other] = [light(parse(getComputedStyle(it).color).slice(0, 3)), light(ground(it))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    checked += 1;
    if (ratio < 4.5) low.push(`${texts.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return { checked, low };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast_in_light_and_dark(site, opened, base, scheme):
    page = opened(base, "429", color_scheme=scheme)
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.service.workers[0].now = WorkerState(False, failures=("it crashed",))
    page.locator("summary").click()
    site.script.answers.extend(["HassTurnOn area= kitchen\tTurned on", Overloaded("full", 1)])
    for count in (1, 2):
        send(page)
        expect(answers(page)).to_have_count(count)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(answers(page).locator(".problem").last).to_be_visible()
    expect(page.locator("#workers .state")).to_contain_text("not working")
    found = page.evaluate(CONTRAST)
    assert found["checked"] > 50
    assert found["low"] == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}[scheme]


@contextmanager
def no_sideways(page):
    yield
    too_wide = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(it => it.checkVisibility()
             && !it.closest(".unseen, .skip, .top h1") && it.getBoundingClientRect().right > innerWidth + 0.5)
             .map(it => it.id || it.className || it.tagName)"""
    )
    assert too_wide == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_narrow_screen_needs_no_sideways_scrolling(site, opened, base):
    page = opened(base, viewport=PHONE)
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.script.answers.append("Donaudampfschifffahrtsgesellschaft" * 6)
    with no_sideways(page):
        send(page, "w" * 200)
        expect(answers(page).locator(".facts li").first).to_be_visible()
    with no_sideways(page):
        page.locator("summary").click()
        expect(page.get_by_label("Stop at")).to_be_visible()
    with no_sideways(page):
        page.get_by_role("button", name="Live").click()
        expect(page.locator("#live")).to_be_visible()
        expect(page.locator("main")).to_be_hidden()
    page.get_by_role("button", name="Live").click()
    expect(page.locator("main")).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()


def test_what_is_touched_is_large_enough(opened, base):
    page = opened(base, viewport=PHONE, has_touch=True)
    expect(page.get_by_label("Model")).to_have_value("toy")
    page.locator("summary").click()
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, summary")]
             .filter(it => it.checkVisibility() && Math.min(it.offsetWidth, it.offsetHeight) < 24)
             .map(it => it.id || it.tagName)"""
    )
    assert small == []  # 24 pixels: WCAG 2.2 AA


def test_nothing_moves_for_those_who_want_no_motion(site, opened, base):
    page = opened(base, reduced_motion="reduce")
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.script.answers.append("word " * 100)
    site.script.pause = 0.05
    send(page)
    expect(answers(page).locator(".text")).to_contain_text("word")
    assert page.evaluate("document.getAnimations().length") == 0
    page.keyboard.press("Escape")
    expect(answers(page).locator(".facts li")).to_have_text(["stopped"])


def test_the_view_follows_the_answer_and_stays_where_one_reads(site, opened, base):
    page = opened(base, viewport=PHONE)
    expect(page.get_by_label("Model")).to_have_value("toy")
    site.script.answers.append("word " * 300)
    site.script.pause, site.script.portion = 0.01, 20
    send(page)
    expect(answers(page).locator(".facts li").first).to_be_visible()
    log = "document.getElementById('log')"
    assert page.evaluate(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 2")
    site.script.answers.append("more " * 300)
    send(page)
    expect(answers(page).last.locator(".text")).to_contain_text("more")
    page.evaluate(f"{log}.scrollTop = 0")
    expect(answers(page).last.locator(".facts li").first).to_be_attached()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert page.evaluate(f"{log}.scrollTop") == 0


def test_clear_starts_over(site, page):
    send(page)
    expect(answers(page).locator(".facts li").first).to_be_visible()
    page.get_by_role("button", name="Clear the conversation").click()
    expect(page.locator("#empty")).to_be_visible()
    assert page.locator(".turn").count() == 0
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
