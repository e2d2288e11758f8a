// GeoJSON and KML on a map without any outside server: borders are drawn from files of ours, and there are no tiles.

import { recordsIn, tableOf } from "./records.js";

const FILES = new URL("../", import.meta.url);
const STEPS = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01];
const MAX_LISTED = 500;
const MAX_FEATURES = 20000;
const NAMES = ["name", "title", "label"];
const NUMBERS = ["id", "number"]; // say which one it is, and measure nothing
const RAMP = ["#2c7bb6", "#5aa6a6", "#d9c34a", "#ee8b3f", "#c9352b"];
const PLAIN = "#c2410c";
const STATES_BOX = [[24, -125], [50, -66]]; // the United States without Alaska and Hawaii, as corners of latitude and longitude
const STATES_ZOOM = 4;

export async function draw(place, text) {
  const isKml = place.dataset.mediaType.includes("kml");
  const [leaflet] = await Promise.all([
    library("vendor/leaflet/leaflet.js", "leaflet"),
    style("vendor/leaflet/leaflet.css"),
    style("css/map.css"),
  ]);
  const features = checked(isKml ? await fromKml(text) : fromJson(text));
  if (!features.length) throw new Error("there is nothing in it that could be drawn");
  new Chart(leaflet, place, features);
}

// --- reading
function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw new Error(`it is not GeoJSON (${fault.message})`);
  }
}

async function fromKml(text) {
  const converter = await library("vendor/togeojson.js", "toGeoJSON");
  const kml = new DOMParser().parseFromString(text, "text/xml");
  if (kml.querySelector("parsererror")) throw new Error("it is not KML: its XML is broken");
  return converter.kml(kml);
}

const DEPTHS = { Point: 0, MultiPoint: 1, LineString: 1, MultiLineString: 2, Polygon: 2, MultiPolygon: 3 };

// The features of a GeoJSON value. An Error names the first thing that is wrong with it.
export function checked(form) {
  const features = listed(form);
  if (features.length > MAX_FEATURES) throw new Error(`it has ${features.length.toLocaleString()} features; at most ${MAX_FEATURES.toLocaleString()} are drawn here`);
  const drawn = [];
  features.forEach((feature, place) => {
    if (feature?.type !== "Feature") throw new Error(`feature ${place + 1} has no type "Feature"`);
    if (feature.geometry === null || feature.geometry === undefined) return; // RFC 7946: nowhere
    checkGeometry(feature.geometry, `feature ${place + 1}`);
    drawn.push({ type: "Feature", id: feature.id, geometry: feature.geometry, properties: feature.properties ?? {} });
  });
  return drawn;
}

function listed(form) {
  if (form?.type === "FeatureCollection" && Array.isArray(form.features)) return form.features;
  if (form?.type === "Feature") return [form];
  if (form?.type in DEPTHS || form?.type === "GeometryCollection") return [{ type: "Feature", geometry: form, properties: {} }];
  throw new Error("it is no GeoJSON: it has no type like FeatureCollection");
}

function checkGeometry(geometry, where) {
  if (geometry?.type === "GeometryCollection" && Array.isArray(geometry.geometries)) {
    for (const one of geometry.geometries) checkGeometry(one, where);
    return;
  }
  const depth = DEPTHS[geometry?.type];
  if (depth === undefined) throw new Error(`${where} has no known kind of geometry`);
  checkPlaces(geometry.coordinates, depth, where);
}

function checkPlaces(value, depth, where) {
  if (!Array.isArray(value)) throw new Error(`${where} has coordinates that are no list`);
  if (depth > 0) {
    for (const one of value) checkPlaces(one, depth - 1, where);
    return;
  }
  const [lon, lat] = value;
  if (!Number.isFinite(lon) || !Number.isFinite(lat)) throw new Error(`${where} has a place that is not two numbers`);
  if (Math.abs(lon) > 360 || Math.abs(lat) > 90) throw new Error(`${where} lies at ${lon}, ${lat}: that is not longitude and latitude in degrees`);
}

// --- drawing
class Chart {
  constructor(leaflet, place, features) {
    this.L = leaflet;
    this.features = features;
    this.property = "";
    this.kind = kindOf(place.dataset.output);
    this.build(place);
    this.map = this.L.map(this.canvas, { worldCopyJump: false, attributionControl: false, zoomControl: false, zoomSnap: 0.25, maxZoom: 14, minZoom: 0 });
    for (const [name, z] of [["borders", 210], ["graticule", 220]]) {
      this.map.createPane(name).style.zIndex = z;
      this.map.getPane(name).style.pointerEvents = "none";
    }
    this.shapes = this.L.geoJSON(features, {
      style: (feature) => this.look(feature),
      pointToLayer: (feature, at) => this.L.circleMarker(at, { radius: 6, ...this.look(feature) }),
      onEachFeature: (feature, layer) => {
        feature.layer = layer;
        layer.bindPopup(() => popup(feature), this.popupSize());
        layer.on("popupopen", () => this.mark(feature));
      },
    }).addTo(this.map);
    const bounds = this.shapes.getBounds();
    const isPlace = bounds.getSouthWest().equals(bounds.getNorthEast()); // alone it is shown with what lies around it
    this.map.fitBounds(bounds.pad(0.15), { maxZoom: isPlace ? 5 : 9, animate: false });
    this.L.control.zoom({ position: "topright" }).addTo(this.map);
    this.L.control.scale({ position: "topleft", imperial: false }).addTo(this.map);
    this.grid = this.L.layerGroup().addTo(this.map);
    this.map.on("moveend", () => {
      this.drawGrid();
      this.drawBorders();
    });
    this.drawGrid();
    this.drawBorders();
    this.list();
    this.drawLegend();
    this.tabulate(place);
  }

  // Never larger than the map, which would cut it off.
  popupSize() {
    const { clientWidth, clientHeight } = this.canvas;
    return { maxWidth: Math.max(clientWidth - 60, 120), maxHeight: Math.max(clientHeight - 90, 100), autoPanPadding: [12, 12] };
  }

  build(place) {
    this.canvas = element("div", "map");
    this.canvas.setAttribute("role", "region");
    this.canvas.setAttribute("aria-label", `Map: ${place.dataset.label}. The list beside it has the same features.`);
    this.side = element("div", "map-side");
    this.legend = element("div", "map-legend");
    const columns = element("div", "map-columns");
    columns.append(this.canvas, this.side);
    this.side.append(this.legend);
    place.replaceChildren(columns);
  }

  look(feature) {
    const color = this.colorOf(feature);
    return { color, weight: 2, fillColor: color, fillOpacity: 0.35, opacity: 0.95 };
  }

  colorOf(feature) {
    const value = feature.properties[this.property];
    if (!this.property || typeof value !== "number") return PLAIN;
    const [least, most] = this.range;
    const part = most > least ? (value - least) / (most - least) : 0;
    return RAMP[Math.min(Math.floor(part * RAMP.length), RAMP.length - 1)];
  }

  // Numbers that differ between features, by which they can be coloured.
  numeric() {
    const values = new Map();
    for (const { properties } of this.features) {
      for (const [key, value] of Object.entries(properties)) {
        if (typeof value !== "number" || !Number.isFinite(value) || NUMBERS.includes(key) || key === this.kind) continue;
        const range = values.get(key);
        if (!range) values.set(key, [value, value]);
        else if (value < range[0]) range[0] = value;
        else if (value > range[1]) range[1] = value;
      }
    }
    return new Map([...values].filter(([, [least, most]]) => least < most));
  }

  list() {
    const title = element("h4", "", `${this.features.length.toLocaleString()} feature${this.features.length === 1 ? "" : "s"}`);
    const items = element("ol", "map-list");
    items.setAttribute("aria-label", "Features on the map");
    this.features.slice(0, MAX_LISTED).forEach((feature, place) => {
      const button = element("button", "", nameOf(feature, place, this.kind));
      button.type = "button";
      button.addEventListener("click", () => this.goTo(feature));
      feature.button = button;
      const item = element("li");
      item.append(button);
      items.append(item);
    });
    this.side.prepend(title, items);
    if (this.features.length > MAX_LISTED) items.after(element("p", "muted", `The first ${MAX_LISTED}; all are on the map.`));
  }

  tabulate(place) {
    const [found] = recordsIn({ type: "FeatureCollection", features: this.features });
    if (!found || !Object.keys(found[1][0]).length) return;
    const details = element("details");
    details.append(element("summary", "", "What the file says of each, as a table"));
    details.addEventListener("toggle", () => details.append(tableOf(found[1], `${place.dataset.label}: features`)), { once: true });
    place.append(details);
  }

  goTo(feature) {
    const { layer } = feature;
    const bounds = layer.getBounds ? layer.getBounds() : this.L.latLngBounds([layer.getLatLng()]);
    this.map.fitBounds(bounds.pad(1), { maxZoom: 10, animate: false }); // a pop-up that opens meanwhile is not moved into sight
    layer.openPopup(bounds.getCenter());
  }

  mark(feature) {
    for (const other of this.features) other.button?.removeAttribute("aria-current");
    feature.button?.setAttribute("aria-current", "true");
    feature.button?.scrollIntoView({ block: "nearest" });
  }

  // --- what the colours and signs mean
  drawLegend() {
    const numbers = this.numeric();
    if (numbers.size) this.legend.append(this.chooser(numbers));
    this.meaning = element("div", "map-legend");
    this.legend.append(this.meaning);
    this.recolor("", numbers);
  }

  chooser(numbers) {
    const label = element("label", "field", "");
    const select = element("select");
    select.append(new Option("one colour", ""), ...[...numbers.keys()].map((key) => new Option(key, key)));
    select.addEventListener("change", () => this.recolor(select.value, numbers));
    label.append(element("span", "", "Colour by"), select);
    return label;
  }

  recolor(property, numbers) {
    this.property = property;
    this.range = numbers.get(property);
    for (const feature of this.features) feature.layer.setStyle?.(this.look(feature));
    if (!property) {
      this.meaning.replaceChildren(...this.kinds());
      return;
    }
    const [least, most] = this.range;
    const step = (most - least) / RAMP.length;
    this.meaning.replaceChildren(...RAMP.map((color, place) =>
      row(color, `${round(least + step * place)} to ${round(least + step * (place + 1))}`)));
  }

  kinds() {
    const words = { Point: "point", LineString: "line", Polygon: "area" };
    const counts = new Map();
    for (const { geometry } of this.features) {
      const kind = words[geometry.type.replace("Multi", "")] ?? "collection";
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return [...counts].map(([kind, count]) => row(PLAIN, `${count} ${kind}${count === 1 ? "" : "s"}`));
  }

  // --- what lies below: states where the whole view is within the United States, else countries
  drawBorders() {
    const view = this.map.getBounds();
    const inStates = this.L.latLngBounds(STATES_BOX).contains(view) && this.map.getZoom() >= STATES_ZOOM;
    const wanted = inStates ? "us-states" : "countries";
    this.drawn ??= new Set();
    if (this.drawn.has(wanted)) return;
    this.drawn.add(wanted);
    this.addBorders(wanted, inStates ? "states" : "countries").catch(() => this.drawn.delete(wanted));
  }

  async addBorders(file, part) {
    const topojson = await library("vendor/topojson-client.js", "topojson");
    const borders = await (await fetch(new URL(`vendor/borders/${file}.json`, FILES))).json();
    const color = getComputedStyle(this.canvas).getPropertyValue("color");
    const renderer = this.L.canvas({ pane: "borders" });
    const style = { color, weight: 1, opacity: 0.45, fill: false };
    this.L.geoJSON(topojson.mesh(borders, borders.objects[part]), { pane: "borders", interactive: false, renderer, style }).addTo(this.map);
  }

  drawGrid() {
    const bounds = this.map.getBounds();
    const span = Math.max(bounds.getEast() - bounds.getWest(), 0.01);
    const step = STEPS.find((one) => span / one >= 4) ?? STEPS.at(-1);
    const [south, north] = [Math.max(bounds.getSouth(), -85), Math.min(bounds.getNorth(), 85)];
    this.grid.clearLayers();
    for (let lon = Math.ceil(bounds.getWest() / step) * step; lon <= bounds.getEast(); lon += step) {
      this.gridLine([[south, lon], [north, lon]], [south, lon], degrees(lon, "E", "W"), [-2, 14]);
    }
    for (let lat = Math.ceil(south / step) * step; lat <= north; lat += step) {
      this.gridLine([[lat, bounds.getWest()], [lat, bounds.getEast()]], [lat, bounds.getWest()], degrees(lat, "N", "S"), [-4, 12]);
    }
  }

  gridLine(ends, at, words, anchor) {
    const color = getComputedStyle(this.canvas).getPropertyValue("color");
    this.L.polyline(ends, { pane: "graticule", interactive: false, color, weight: 0.6, opacity: 0.25, dashArray: "2 4" }).addTo(this.grid);
    const label = element("span", "", words);
    const icon = this.L.divIcon({ html: label, className: "graticule-label", iconSize: null, iconAnchor: anchor });
    this.L.marker(at, { icon, pane: "graticule", interactive: false, keyboard: false }).addTo(this.grid);
  }
}

function degrees(value, plus, minus) {
  const turned = Math.round((((value + 540) % 360) - 180) * 1000) / 1000;
  const shown = plus === "N" ? Math.round(value * 1000) / 1000 : turned;
  return `${Math.abs(shown)}°${shown === 0 ? "" : shown > 0 ? plus : minus}`;
}

function round(value) {
  return Number(value.toPrecision(4)).toLocaleString();
}

// What features are that say nothing of it themselves, by the name of the output they come in: "storm" of "storms".
export function kindOf(output) {
  return /^[a-z]{2,}[^s]s$/.test(output) ? output.slice(0, -1) : "feature";
}

// Its own name, else its kind and number: "Storm 3".
export function nameOf({ id, properties }, place, kindOfAll) {
  const isWord = (value) => ["string", "number"].includes(typeof value) && String(value).trim() !== "";
  const own = NAMES.map((key) => properties[key]).find(isWord);
  if (own !== undefined) return String(own);
  const kind = typeof properties.kind === "string" && properties.kind.trim() ? properties.kind.trim() : kindOfAll;
  const number = [...NUMBERS, kindOfAll].map((key) => properties[key]).find(isWord) ?? id ?? place + 1;
  return `${kind[0].toUpperCase()}${kind.slice(1)} ${number}`;
}

// Everything in a pop-up is text: what a file calls HTML is shown without its tags.
function popup(feature) {
  const pairs = Object.entries(feature.properties).filter(([, value]) => value !== null && value !== "");
  if (!pairs.length) return element("p", "", "The file says nothing more of it.");
  const list = element("dl", "map-popup");
  for (const [key, value] of pairs.slice(0, 40)) list.append(element("dt", "", key), element("dd", "", words(value)));
  return list;
}

function words(value) {
  if (value?.["@type"] === "html") return new DOMParser().parseFromString(String(value.value), "text/html").body.textContent;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function row(color, text) {
  const line = element("div", "legend-row");
  const sign = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width: 16, height: 16, "aria-hidden": "true" })) sign.setAttribute(name, value);
  for (const [name, value] of Object.entries({ x: 1, y: 1, width: 14, height: 14, rx: 3, fill: color, "fill-opacity": 0.45, stroke: color, "stroke-width": 2 })) box.setAttribute(name, value);
  sign.append(box);
  line.append(sign, element("span", "", text));
  return line;
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// --- code and style of others, fetched when the first map is drawn
const fetched = new Map();

function library(name, global) {
  return once(name, () => {
    const script = document.createElement("script");
    script.src = new URL(name, FILES);
    return script;
  }).then(() => globalThis[global]);
}

function style(name) {
  return once(name, () => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL(name, FILES);
    return link;
  });
}

function once(name, make) {
  if (!fetched.has(name)) {
    fetched.set(name, new Promise((resolve, reject) => {
      const made = make();
      made.addEventListener("load", resolve);
      made.addEventListener("error", () => reject(new Error("the page's own files could not be fetched: reload the page")));
      document.head.append(made);
    }));
  }
  return fetched.get(name);
}
