/** Talking to the server that this page came from, and to no other. */

const KEY = "pixelword.key";

/** What the server said when it refused, in its own line. status 0: it did not answer. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The key lives as long as this tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: value => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const GONE = "the server cannot be reached; is it still running?";

/** GET without a body, POST with one. Throws ServerError, or AbortError when `signal` was used. */
export async function call(path, body, signal) {
  const headers = body ? {"Content-Type": "application/json"} : {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  const options = {method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body)};
  // relative, so that the page also works behind a proxy, under a folder
  const response = await fetch(new URL(path, document.baseURI), options).catch(error => {
    throw error.name === "AbortError" ? error : new ServerError(GONE, 0);
  });
  if (response.ok) return response;
  throw new ServerError(await reason(response), response.status);
}

async function reason(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `the server answered ${response.status}`; // a proxy's page, not ours
  }
}

/** The chunks of a streamed chat answer, in OpenAI's form. Throws as `call` does. */
export async function* stream(body, signal) {
  const asked = {...body, stream: true, stream_options: {include_usage: true}};
  const response = await call("v1/chat/completions", asked, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const broken = () => new ServerError("the answer broke off; the server may have stopped", 0);
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read().catch(error => {
      throw error.name === "AbortError" ? error : broken();
    });
    if (done) throw broken();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter(one => one.startsWith("data: "))) {
      if (line === "data: [DONE]") return;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new ServerError(chunk.error.message, chunk.error.code);
      yield chunk;
    }
  }
}
