"""The page of the server in headless Chromium: drop an image, ask, look."""

import base64

import browser


class Browser(browser.Browser):
    """One page of one browser, ended with the `with` block."""

    def open(self, url, is_ready="document.querySelector('#ask')"):
        """Load the server's page."""
        super().open(url, is_ready)

    def drop(self, path):
        """Drop a file on the page, as a user's mouse would."""
        data = base64.b64encode(path.read_bytes()).decode()
        self.ask(f"""(() => {{
            const bytes = Uint8Array.from(atob("{data}"), c => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "{path.name}", {{type: "image/jpeg"}}));
            document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {{dataTransfer, bubbles: true}}));
        }})()""")
        self.wait("!document.querySelector('#canvas').hidden")

    def find(self, caption):
        """Type a caption, press the button, and return what the page then says."""
        self.ask("document.querySelector('#caption').value = ''; document.querySelector('#caption').focus()")
        self.call("Input.insertText", text=caption)
        self.ask("document.querySelector('#find').click()")
        said = "document.querySelector('#answer').textContent"
        self.wait(f"{said} !== '' && {said} !== 'Looking…'")
        return self.ask(said)

    def screenshot(self):
        """The page as a PNG, in full height."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pixel(self, x, y):
        """(red, green, blue) of the canvas at a pixel of the image."""
        script = "[...document.querySelector('#canvas').getContext('2d').getImageData(%d, %d, 1, 1).data]"
        return self.ask(script % (round(x), round(y)))[:3]
