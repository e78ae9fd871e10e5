/** Elements, and numbers to colours: arrays as `page.packed` writes them, heat over images, small maps, matrices. */

/** An element with properties, listeners (on…) and attributes; children that are text go in as text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Rows of a packed array: row(i, j, …) -> Float32Array of its last axis. */
export function unpack(packed) {
  const binary = atob(packed.bytes), bytes = Uint8Array.from(binary, one => one.charCodeAt(0));
  const axes = packed.shape.slice(0, -1), width = packed.shape.at(-1);
  return {
    shape: packed.shape,
    row(...place) {
      const at = axes.reduce((sum, size, axis) => sum * size + Math.min(place[axis], size - 1), 0);
      const found = new Float32Array(width), scale = packed.scale[at];
      for (let i = 0; i < width; i++) {
        const byte = bytes[at * width + i];
        found[i] = packed.signed ? (scale * (byte - 128)) / 127 : scale * (byte / 255) ** 2;
      }
      return found;
    },
  };
}

/** The mean of several arrays of one length. */
export function mean(rows) {
  const sum = new Float32Array(rows[0].length);
  for (const row of rows) for (let i = 0; i < sum.length; i++) sum[i] += row[i] / rows.length;
  return sum;
}

// What is looked at stays bright and warm, the rest goes dark: it reads on images of any colour.
const HEAT = [[0, 13, 16, 44, 0.6], [0.3, 92, 26, 118, 0.46], [0.65, 232, 92, 48, 0.34], [1, 255, 214, 64, 0.2]];

/** CSS colour of a share, -1 to 1, laid over an image; below 0 (hiding it helps) is blue. */
export function heat(share) {
  if (share < 0) return `rgb(${Math.round(13 + 30 * -share)} ${Math.round(16 + 110 * -share)} ${Math.round(44 + 200 * -share)} / 0.6)`;
  const value = Math.min(share, 1), next = Math.max(1, HEAT.findIndex(stop => stop[0] >= value));
  const [a, b] = [HEAT[next - 1], HEAT[next]], way = (value - a[0]) / (b[0] - a[0]);
  const [, red, green, blue, alpha] = a.map((one, i) => one + (b[i] - one) * way);
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** CSS colour of a share, -1 to 1, around nothing: blue below, orange above. */
export const diverging = share =>
  share < 0 ? `rgb(47 127 208 / ${Math.min(1, -share)})` : `rgb(224 110 10 / ${Math.min(1, share)})`;

/** An image with heat over it, on a context of width x height; values: of its tokens, most: what is hottest. */
export function paint(context, picture, image, values, most, {width, height, smooth}) {
  context.imageSmoothingEnabled = picture.width >= width;
  context.clearRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  if (!values) return;
  const small = cells(picture, values, most, heat);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
}

/** A canvas of one pixel a token. */
export function cells({rows, columns}, values, most, colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  for (let i = 0; i < rows * columns; i++) {
    context.fillStyle = colour(most > 0 ? values[i] / most : 0);
    context.fillRect(i % columns, Math.floor(i / columns), 1, 1);
  }
  return canvas;
}

/** Draw a matrix (rows of numbers) on a canvas of one pixel a cell; the strongest cell is opaque. */
export function matrix(canvas, rows, colour, most = Math.max(...rows.flatMap(row => [...row]))) {
  [canvas.width, canvas.height] = [rows[0].length, rows.length];
  const context = canvas.getContext("2d");
  rows.forEach((row, y) =>
    row.forEach((value, x) => {
      context.fillStyle = colour(most > 0 ? value / most : 0);
      context.fillRect(x, y, 1, 1);
    }));
  return most;
}

/** The largest absolute value. */
export const strongest = values => values.reduce((most, one) => Math.max(most, Math.abs(one)), 0);

export const percent = (share, digits = share < 0.1 ? 1 : 0) => `${(100 * share).toFixed(digits)} %`;
