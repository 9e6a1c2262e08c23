// Images for the next question: chosen or pasted, made smaller before they are sent, shown with a way to take them back.

const LARGEST_SIDE = 1568; // what the large providers scale to anyway
const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];

export class Attachments {
  #images = [];

  constructor(box, input, onProblem) {
    this.box = box;
    this.onProblem = onProblem;
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
  }

  get parts() {
    return this.#images.map((url) => ({ type: "image_url", image_url: { url } }));
  }

  async add(files) {
    for (const file of files) {
      if (!KINDS.includes(file.type)) {
        this.onProblem(`${file.name} is no picture that models read (PNG, JPEG, WebP, GIF).`);
      } else {
        try {
          this.#images.push(await smaller(file));
        } catch {
          this.onProblem(`${file.name} can't be read.`);
        }
      }
    }
    this.#draw();
  }

  set(parts) {
    this.#images = parts.filter((part) => part.type === "image_url").map((part) => part.image_url.url);
    this.#draw();
  }

  #draw() {
    this.box.hidden = !this.#images.length;
    this.box.replaceChildren(...this.#images.map((url, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "thumb plain";
      button.setAttribute("aria-label", `Take picture ${at + 1} back`);
      button.append(picture(url));
      button.addEventListener("click", () => { this.#images.splice(at, 1); this.#draw(); });
      return button;
    }));
  }
}

// Only pictures that are here already: anything else would be loaded from somewhere.
export function picture(url) {
  const image = document.createElement("img");
  image.alt = "";
  if (/^data:image\/(png|jpeg|webp|gif);base64,/.test(url)) image.src = url;
  return image;
}

async function smaller(file) {
  const url = await dataUrl(file);
  const image = new Image();
  image.src = url;
  await image.decode();
  const scale = LARGEST_SIDE / Math.max(image.width, image.height);
  if (scale >= 1 && url.length < 500_000) return url;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * Math.min(1, scale)));
  canvas.height = Math.max(1, Math.round(image.height * Math.min(1, scale)));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.85);
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
