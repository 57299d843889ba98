"""The page in a browser: Chromium without a window, where it is installed. Real clicks and keys."""

import functools
import http.client
import http.server
import re
import shutil
import threading

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: the extra `play`")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: the extra `play`")
pytest.importorskip("websockets", reason="websockets is not installed: the extra `play`")
pytest.importorskip("gymnasium", reason="gymnasium is not installed: the extra `play`")

from tests.play import small_views as small

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
WIDTHS = {"phone": 390, "screen": 1280}
MISSING = "No agent ships. Make one: `seqvae worldmodel --run_name=<b>`."
FOREIGN_NAME = "--host-resolver-rules=MAP evil.example 127.0.0.1"


@pytest.fixture(scope="module")
def address():
    views = {"kvae": small.imputation(), "dream": small.dream(), "motifs": small.motifs()}
    for view in views.values():
        view.warm_up()
    with small.served(views) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("needs a browser: Debian's `chromium`")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=BROWSER, args=[FOREIGN_NAME])
        yield started
        started.close()


@pytest.fixture
def opened(browser, address):
    """A function that opens a view; at the end there must have been no error and no request to
    another host."""
    problems, pages = [], []

    def open_view(view, width=1280, **options):
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith((address, "data:")) or problems.append(r.url))
        page.goto(f"{address}/#{view}")
        pages.append(page)
        return page

    yield open_view
    for page in pages:
        page.close()
    assert not problems


def expect(locator):
    from playwright.sync_api import expect as of

    of.set_options(timeout=20_000)
    return of(locator)


def drawn(page, selector):
    """The pixels of a canvas."""
    return page.locator(selector).evaluate("canvas => canvas.toDataURL()")


def score(page, screen=".dreamt"):
    text = page.locator(f"#dream {screen} .score").inner_text()
    found = re.search(r"Score ([\d.]+)", text)
    return float(found[1]) if found else 0.0  # there is none before the first answer


def until(page, condition, seconds=20):
    for _ in range(int(20 * seconds)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("did not happen")


# --- the Kalman VAE ---


def test_a_click_hides_a_frame_and_the_model_fills_it_in(opened):
    page = opened("kvae")
    page.get_by_role("button", name="Show all").click()
    frame = page.locator("#kvae .strip button").nth(2)
    expect(frame).to_have_attribute("aria-label", "Frame 3, observed")
    expect(page.locator("#kvae .judgement")).to_contain_text("Hide a frame")
    rows = ["#kvae .strip .row >> nth=0", "#kvae .strip .row >> nth=1", "#kvae .plane"]
    before = [drawn(page, row) for row in rows]
    frame.click()
    expect(frame).to_have_attribute("aria-label", "Frame 3, hidden")
    expect(frame).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#kvae .errors tr")).to_have_count(4)
    assert all(old != drawn(page, row) for old, row in zip(before, rows, strict=True))
    frame.press("Enter")  # a key does what a click does
    expect(frame).to_have_attribute("aria-label", "Frame 3, observed")
    page.get_by_role("button", name="Hide every second").click()
    expect(page.locator("#kvae .strip button[aria-pressed=true]")).to_have_count(3)


def test_without_any_frame_a_message_says_so(opened):
    page = opened("kvae")
    page.get_by_role("button", name="Show all").click()
    for frame in page.locator("#kvae .strip button").all():
        frame.click()
    expect(page.locator("#error")).to_have_text("Leave at least one frame.")
    page.locator("#kvae .strip button").first.click()
    expect(page.locator("#error")).to_be_hidden()


def test_methods_of_the_plane_can_be_left_out_and_sequences_changed(opened):
    page = opened("kvae")
    expect(page.locator("#kvae .errors tr")).to_have_count(4)
    before = drawn(page, "#kvae .plane")
    page.get_by_role("checkbox", name="generated").uncheck()
    assert drawn(page, "#kvae .plane") != before
    row = "#kvae .strip .row >> nth=6"  # the true frames
    before = drawn(page, row)
    page.get_by_label("Sequence").select_option("2")
    until(page, lambda: drawn(page, row) != before)


# --- the dream ---


def test_a_held_key_plays_while_the_picture_has_focus(opened):
    page = opened("dream")
    expect(page.locator("#dream .status")).to_contain_text("Paused")
    expect(page.locator("#dream .dreamt .score")).to_have_text("Score 0")
    page.keyboard.down("ArrowRight")  # no focus: nothing happens
    page.wait_for_timeout(400)
    page.keyboard.up("ArrowRight")
    assert score(page) == 0
    pictures = [drawn(page, f"#dream {one} canvas") for one in (".dreamt", ".real")]
    page.locator("#dream .dreamt canvas").click()
    page.keyboard.down("ArrowRight")
    until(page, lambda: score(page) >= 5)
    page.keyboard.up("ArrowRight")
    assert score(page, ".real") >= 5
    moved = [drawn(page, f"#dream {one} canvas") for one in (".dreamt", ".real")]
    assert all(old != new for old, new in zip(pictures, moved, strict=True))
    page.keyboard.press("Escape")
    expect(page.locator("#dream .status")).to_contain_text("Paused")
    page.wait_for_timeout(300)
    paused = score(page)
    page.wait_for_timeout(400)
    assert score(page) == paused
    page.get_by_role("button", name="Begin again").click()
    expect(page.locator("#dream .dreamt .score")).to_have_text("Score 0")


def sent(page):
    """The messages that the page sends."""
    messages = []
    page.on("websocket", lambda s: s.on("framesent", lambda text: messages.append(text)))
    page.reload()
    return messages


def test_keys_buttons_and_slider_reach_the_model(opened):
    page = opened("dream")
    messages = sent(page)
    expect(page.locator("#dream .dreamt .score")).to_have_text("Score 0")  # after the reload
    page.locator("#dream .real canvas").focus()
    page.keyboard.down("ArrowLeft")
    until(page, lambda: any('"x":-1' in text for text in messages))
    page.keyboard.up("ArrowLeft")
    until(page, lambda: '"x":0' in messages[-1])
    right = page.get_by_role("button", name="Hold to move right")
    box = right.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    until(page, lambda: '"x":1' in messages[-1])
    page.mouse.up()
    until(page, lambda: '"x":0' in messages[-1])
    assert not page.get_by_role("button", name="Hold for up").is_visible()  # one action
    slider = page.get_by_label("Temperature")
    slider.focus()
    before = len(messages)
    slider.press("ArrowRight")  # a key that the picture does not take
    expect(page.locator("#dream output")).to_have_text("1.20")
    page.locator("#dream .dreamt canvas").focus()
    until(page, lambda: len(messages) > before and '"temperature":1.2' in messages[-1])


def test_a_held_finger_plays_on_a_telephone(opened):
    page = opened("dream", width=390, has_touch=True)
    expect(page.locator("#dream .dreamt .score")).to_have_text("Score 0")
    left = page.get_by_role("button", name="Hold to move left")
    touch = {"pointerId": 1, "pointerType": "touch", "isPrimary": True}
    left.evaluate("b => { b.setPointerCapture = () => {}; }")  # of a finger that does not exist
    left.dispatch_event("pointerdown", touch)
    until(page, lambda: score(page) >= 3)
    assert "held" in left.get_attribute("class")
    left.dispatch_event("pointerup", touch)
    assert "held" not in left.get_attribute("class")


def test_the_agent_plays_without_focus(opened):
    page = opened("dream")
    page.get_by_label("Let the agent play").check()
    expect(page.locator("#dream .status")).to_have_text("The agent plays.")
    until(page, lambda: score(page) >= 5 and score(page, ".real") >= 5)
    page.get_by_role("link", name="Motifs").click()  # out of sight it stops
    page.wait_for_timeout(300)
    stopped = score_of_hidden(page)
    page.wait_for_timeout(400)
    assert score_of_hidden(page) == stopped


def score_of_hidden(page):
    return page.locator("#dream .dreamt .score").text_content()


# --- motifs ---


def test_a_motif_is_picked_moves_and_leads_to_its_neighbours(opened):
    page = opened("motifs")
    card = page.locator("#motifs caption .motif")
    expect(card).to_have_text("0")
    page.get_by_role("button", name=re.compile(r"^1 \(\d+ %\)$")).first.click()
    expect(card).to_have_text("1")
    before = drawn(page, "#motifs .skeletons")
    until(page, lambda: drawn(page, "#motifs .skeletons") != before)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    still = drawn(page, "#motifs .skeletons")
    page.wait_for_timeout(300)
    assert drawn(page, "#motifs .skeletons") == still
    nearest = page.locator("#motifs .neighbours p").first
    expect(nearest).to_contain_text("Nearest motifs: ")
    neighbour = nearest.get_by_role("button").first
    number = neighbour.inner_text().split()[0]
    neighbour.click()
    expect(card).to_have_text(number)
    assert number != "1"


# --- all views ---


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_views_fit_their_window(opened, width):
    page = opened("kvae", width)
    for view in ("kvae", "dream", "motifs"):
        page.get_by_role("navigation").get_by_role("link").nth(
            ("kvae", "dream", "motifs").index(view)
        ).click()
        expect(page.locator(f"#{view} .name")).to_contain_text("Model: ")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.locator(f"#{view} canvas").first.is_visible()
        small_targets = page.locator(f"#{view} button:visible").evaluate_all(
            "all => all.filter(b => b.getBoundingClientRect().height < 24).length"
        )
        assert small_targets == 0


def test_a_view_without_a_model_shows_the_command_as_text(browser):
    with small.served({"kvae": small.imputation(), "dream": MISSING, "motifs": MISSING}) as address:
        page = browser.new_page()
        page.goto(f"{address}/#dream")
        expect(page.locator("#dream .missing")).to_have_text(MISSING.replace("`", ""))
        expect(page.locator("#dream .missing code")).to_have_text(
            "seqvae worldmodel --run_name=<b>"
        )
        assert not page.locator("#dream .view").is_visible()
        page.close()


# --- others ---


def test_a_foreign_name_of_this_machine_is_refused(browser, address):
    page = browser.new_page()
    answer = page.goto(address.replace("127.0.0.1", "evil.example"))
    assert answer.status == 400
    page.close()


def test_a_page_of_another_origin_gets_no_connection(browser, address, tmp_path):
    (tmp_path / "index.html").write_text("<title>other</title>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        url = address.replace("http", "ws") + "/play/kvae"
        assert page.evaluate(CONNECT, url) == "closed"
        assert page.evaluate(FETCH, f"{address}/about") == "TypeError"
        own = browser.new_page()
        own.goto(address)
        assert own.evaluate(CONNECT, url) == "open"
        server.shutdown()
        page.close()
        own.close()


CONNECT = """url => new Promise((done) => {
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); done("open"); };
  socket.onerror = () => done("closed");
})"""
FETCH = "url => fetch(url).then(() => 'read', (error) => error.name)"


def test_over_the_network_hosts_and_origins_are_refused(address):
    port = int(address.rsplit(":", 1)[1])

    def status(path="/about", method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        connection.close()
        return answer.status

    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert status() == 200 and status(Host="evil.example") == 400
    assert status("/play/kvae", Origin="http://evil.example", **upgrade) == 403
    assert status("/play/kvae", **upgrade) == 403
    foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert status("/play/kvae", **foreign, **upgrade) == 400
    assert status("/play/kvae", Origin=address, **upgrade) == 101
    assert status(method="POST", Origin="http://evil.example") == 403
    assert status(method="POST", Origin=address) == 405


def test_a_message_that_is_too_long_ends_the_connection(address):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    url = address.replace("http", "ws") + "/play/kvae"
    with connect(url, origin=address) as socket, pytest.raises(ConnectionClosed, match="1009"):
        socket.send("[" * 20_000_000)
        socket.recv(timeout=20)
