/* What browsers have and jsdom has not. */
class Observer {
  observe() {}
  unobserve() {}
  disconnect() {}
}
globalThis.ResizeObserver ??= Observer;
globalThis.DragEvent ??= class DragEvent {};
globalThis.fetch ??= () => Promise.reject(new Error('nothing is fetched in tests'));
globalThis.Request ??= class Request {};
globalThis.Response ??= class Response {};
globalThis.Headers ??= class Headers {};
if (globalThis.window) {
  window.matchMedia ??= () => ({
    matches: false,
    addEventListener() {},
    removeEventListener() {},
    addListener() {}
  });
}
