// A custom element whose inside is a Preact component, in the page's own tree: no shadow, one stylesheet.
import { type ComponentType, render } from "preact";

export function element(name: string, Inside: ComponentType): void {
  class Island extends HTMLElement {
    connectedCallback() {
      render(<Inside />, this);
    }
    disconnectedCallback() {
      render(null, this);
    }
  }
  customElements.define(name, Island);
}
