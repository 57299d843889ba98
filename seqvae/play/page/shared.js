// What the views share: the connection to their sessions, and pixels.

export const COLOURS = {
  black: "#000000", orange: "#e69f00", green: "#009e73", blue: "#0072b2", red: "#d55e00",
  sky: "#56b4e9", purple: "#cc79a7", grey: "#bbbbbb", line: "#5a5a5a",
};
const YELLOW = [240, 228, 66];

export function showError(error) {
  document.getElementById("error").textContent = error;
}

// One message at a time is under way; of those that come meanwhile, the newest is sent after it.
export class Line {
  constructor(view) {
    this.busy = true;
    this.onanswer = () => {};
    this._next = null;
    this._socket = new WebSocket(`ws://${location.host}/play/${view}`);
    this._socket.onopen = () => this._free();
    this._socket.onclose = () => showError("The connection is closed. Is seqvae play still running? Reload the page.");
    this._socket.onmessage = (event) => {
      const answer = JSON.parse(event.data);
      showError(answer.error ?? "");
      this._free();
      this.onanswer(answer);
    };
  }

  send(message) {
    if (this.busy) {
      this._next = message;
      return;
    }
    this.busy = true;
    this._socket.send(JSON.stringify(message));
  }

  _free() {
    this.busy = false;
    const next = this._next;
    this._next = null;
    if (next) this.send(next);
  }
}

export function bytesOf(picture) {
  return Uint8Array.from(atob(picture.data), (letter) => letter.charCodeAt(0));
}

// Paints one frame, of the shape [H, W] or [H, W, C], that starts at `from` in `bytes`.
export function paint(canvas, bytes, from, shape, left = 0, yellow = false) {
  const [height, width, channels = 1] = shape;
  const image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) {
      const value = bytes[from + i * channels + (channels < 3 ? 0 : c)];
      image.data[4 * i + c] = yellow ? (value * YELLOW[c]) / 255 : value;
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, left, 0);
}

// A context whose unit is a CSS pixel, sharp on any screen.
export function sharpPen(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return pen;
}

export function newElement(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function rowsInto(body, rows) {
  body.replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("tr");
    row.append(newElement("th", name, { scope: "row" }), newElement("td", value));
    return row;
  }));
}
