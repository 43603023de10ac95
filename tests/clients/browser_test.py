"""Is the server's page usable in a browser? Chromium, driven by its own protocol.

browser_test.py PROGRAM SAMPLE_MODEL [FOLDER_FOR_PICTURES]
"""
import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from serving import check, program


class WebSocket:
    """What Chromium's protocol needs of RFC 6455: text frames of a client."""

    def __init__(self, url):
        host, path = url[len("ws://"):].split("/", 1)
        name, port = host.split(":")
        self.socket = socket.create_connection((name, int(port)), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                             f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.bytes = b""
        while b"\r\n\r\n" not in self.bytes:
            self.bytes += self.socket.recv(65536)
        self.bytes = self.bytes.partition(b"\r\n\r\n")[2]

    def take(self, n):
        while len(self.bytes) < n:
            piece = self.socket.recv(65536)
            check(piece, "the browser went away")
            self.bytes += piece
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = bytes([0x81]) + (bytes([0x80 | size]) if size < 126 else
                                b"\xfe" + struct.pack(">H", size) if size < 65536 else
                                b"\xff" + struct.pack(">Q", size))
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, size = self.take(2)
            if size == 126:
                size = struct.unpack(">H", self.take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.take(8))[0]
            text += self.take(size)
            if first & 0x80:
                return text.decode()


class Page:
    def __init__(self, browser_url):
        self.socket = WebSocket(browser_url)
        self.id, self.session, self.complaints = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.id += 1
        message = {"id": self.id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.receive())
            if answer.get("id") == self.id:
                check("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(answer["params"])
            if answer.get("method") == "Network.requestWillBeSent":
                url = answer["params"]["request"]["url"]
                if not url.startswith(("http://127.0.0.1:", "about:", "data:")):
                    self.complaints.append(url)

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        check("exceptionDetails" not in result, f"{expression}: {result}")
        return result["result"].get("value")

    def wait(self, expression, what, seconds=60):
        end = time.time() + seconds
        while not self.value(expression):
            check(time.time() < end, f"{what}; {self.value('document.body.innerText')!r}")
            time.sleep(0.05)

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **({"text": text} if kind == "keyDown" and text else {}))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def show(self, width, height, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 800)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        time.sleep(0.3)

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


def drive(page, url, pictures):
    page.show(1280, 800, "light")
    page.call("Page.navigate", url=url)
    page.wait("document.title.startsWith('sample-w4')", "the page never learned the model's name")
    page.wait("document.getElementById('running').textContent === '0'", "no live view")
    check(page.value("document.activeElement.id") == "message", "the message has no focus")
    page.press("Tab", 9)
    check(page.value("document.activeElement.id") == "send", "Tab does not lead to Send")
    page.value("document.getElementById('message').focus()")

    page.value("document.getElementById('max_tokens').value = '40'")
    page.type("It was a dark and stormy night <b>&")
    page.press("Enter", 13, "\r")
    page.wait("!running && document.querySelectorAll('.assistant').length === 1", "no answer")
    check(page.value("document.querySelector('.user div').textContent")
          == "It was a dark and stormy night <b>&", "the message is not shown as it is")
    check(len(page.value("document.querySelector('.assistant div').textContent")) > 10, "no text")
    figures = page.value("document.querySelector('.figures').textContent")
    check("40 tokens" in figures and "tokens/s" in figures, figures)
    check(page.value("document.getElementById('status').textContent") == "The answer is complete.",
          "a screen reader hears nothing")

    page.value("document.getElementById('max_tokens').value = ''")
    page.type("And then")
    page.press("Enter", 13, "\r")
    page.wait("document.querySelectorAll('.assistant')[1]?.innerText.length > 50", "no long answer")
    page.press("Escape", 27)
    page.wait("!running", "Escape stops nothing")
    check("stopped" in page.value("document.querySelectorAll('.figures')[1].textContent"), "stopped")
    page.wait("document.getElementById('running').textContent === '0'", "the server goes on")
    page.value("document.getElementById('temperature').value = '99'")
    page.type("Again")
    page.press("Enter", 13, "\r")
    page.wait("document.querySelector('.failed')?.textContent.includes('temperature')", "no error")

    for width, height in ((390, 844), (1280, 800)):
        for scheme in ("light", "dark"):
            page.show(width, height, scheme)
            wide = page.value("document.documentElement.scrollWidth - window.innerWidth")
            check(wide <= 0, f"{wide} pixels stick out at {width}")
            check(page.value("document.getElementById('settings').open") == (width > 800),
                  f"the settings are in the way, or out of reach, at {width}")
            check(page.value("(box => box.scrollHeight <= box.clientHeight)"
                             "(document.getElementById('message'))"),
                  f"the words in the empty message do not fit at {width}")
            if pictures:
                page.picture(os.path.join(pictures, f"page-{width}-{scheme}.png"))
    # The refused temperature is the one complaint that there should be.
    others = [c for c in page.complaints
              if "400" not in json.dumps(c) and '"verbose"' not in json.dumps(c)]
    check(not others, f"the browser complains: {others}")


def main():
    chromium = shutil.which("chromium")
    if chromium is None:
        print("MISSING chromium: the page was not looked at")
        sys.exit(77)
    pictures = sys.argv[3] if len(sys.argv) > 3 else None
    with program(*sys.argv[1:3]) as quarot, quarot.serving() as url, \
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE, text=True)
        try:
            address = next(line for line in browser.stderr if "DevTools listening on" in line)
            drive(Page(address.split()[-1]), url, pictures)
        finally:
            browser.kill()
            browser.wait()
    print("the page talks, stops, and fits both sizes")


main()
