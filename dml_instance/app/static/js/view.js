// Where the image lies on the canvas: zoom and shift.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.zoom = 1;
    this.left = 0;
    this.top = 0;
  }

  // The size of the canvas follows that of its place; true where it changed.
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width === wanted[0] && this.canvas.height === wanted[1]) return false;
    [this.canvas.width, this.canvas.height] = wanted;
    return true;
  }

  fit(image, columns = 1) {
    const width = this.canvas.width / columns;
    this.zoom = 0.96 * Math.min(width / image.width, this.canvas.height / image.height);
    this.left = (width - image.width * this.zoom) / 2;
    this.top = (this.canvas.height - image.height * this.zoom) / 2;
  }

  // The point of the image, [row, column], under a pointer.
  pointOf(event, columns = 1) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    const x = ((event.clientX - box.left) * ratio) % (this.canvas.width / columns);
    const y = (event.clientY - box.top) * ratio;
    return [(y - this.top) / this.zoom, (x - this.left) / this.zoom];
  }

  pan(dx, dy) {
    const ratio = this.canvas.width / this.canvas.getBoundingClientRect().width;
    this.left += dx * ratio;
    this.top += dy * ratio;
  }

  // The point of the image under the pointer stays where it is.
  zoomAt(event, factor, columns = 1) {
    const [row, column] = this.pointOf(event, columns);
    const zoom = Math.min(Math.max(this.zoom * factor, 0.02), 64);
    this.left += column * (this.zoom - zoom);
    this.top += row * (this.zoom - zoom);
    this.zoom = zoom;
  }
}
