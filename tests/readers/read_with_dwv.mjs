// What the viewer dwv reads, without its page. Standard input and output: tests/readers/programs.py.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { AnnotationGroupFactory, DicomParser, MaskFactory, createImage, getReferencedSeriesUID } from "dwv";

const SERIES_INSTANCE_UID = "0020000E", ROWS = "00280010", COLUMNS = "00280011", PIXEL_DATA = "7FE00010";

function parsed(path) {
    const file = readFileSync(path);
    const parser = new DicomParser();
    parser.parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
    return parser.getDicomElements();
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

function boxesOf(path) {
    const factory = new AnnotationGroupFactory(), elements = parsed(path);
    const warning = factory.checkElements(elements);
    if (warning !== undefined) {
        throw new Error(warning);
    }
    return (factory.create(elements)?.getList() ?? []).map(({ trackingUid, referencedSopInstanceUID, mathShape }) => ({
        uid: trackingUid,
        image: referencedSopInstanceUID,
        points: [mathShape.getBegin(), mathShape.getEnd()].map((point) => [point.getX(), point.getY()]),
    }));
}

// The image of a mask without its pixels, which may be compressed: only its place is asked for.
function placeOf(source) {
    const pixels = new Uint8Array(source[ROWS].value[0] * source[COLUMNS].value[0]);
    return createImage({ ...source, [PIXEL_DATA]: { ...source[PIXEL_DATA], value: [pixels] } });
}

function segmentsOf(path, sources) {
    const elements = parsed(path);
    const series = getReferencedSeriesUID(elements);
    const source = sources.find((image) => image[SERIES_INSTANCE_UID].value[0] === series);
    const mask = new MaskFactory().create(elements, elements[PIXEL_DATA].value[0], placeOf(source));
    const [columns, rows, slices] = mask.getGeometry().getSize().getValues();
    if (slices !== 1) {
        throw new Error(`a mask of ${slices} slices`);
    }
    const { segments, frameInfos } = mask.getMeta().custom;
    return Object.fromEntries(segments.map(({ number }) => {
        const bytes = Uint8Array.from(mask.getBuffer(), (label) => label === number);
        const frame = frameInfos.find((info) => info.refSegmentNumber === number);
        const image = frame.derivationImages[0].sourceImages[0].referencedSOPInstanceUID;
        return [number, { image, rows, columns, sha256: digest(bytes) }];
    }));
}

function pictureOf(path) {
    const picture = createImage(parsed(path));
    const [columns, rows] = picture.getGeometry().getSize().getValues();
    return { rows, columns, sha256: digest(picture.getBuffer()) };
}

function attempt(read) {
    try {
        return read();
    } catch (error) {
        return { error: `${error}` };
    }
}

const readings = {};
for (const study of JSON.parse(readFileSync(0, "utf-8")).studies) {
    // An image that it cannot read is no fault of the objects; a mask of that image will be.
    const sources = study.images.map((path) => attempt(() => parsed(path))).filter((image) => !("error" in image));
    for (const path of study.reports) {
        readings[path] = attempt(() => ({ boxes: boxesOf(path) }));
    }
    for (const path of study.segmentations) {
        readings[path] = attempt(() => ({ segments: segmentsOf(path, sources) }));
    }
    for (const path of study.pictures) {
        readings[path] = attempt(() => ({ picture: pictureOf(path) }));
    }
}
console.log(JSON.stringify(readings));
