// What the adapters of Cornerstone3D read, on which OHIF stands. Standard input and output: tests/readers/programs.py.
// The metadata of the images are what Cornerstone3D's own providers make of the files.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { adaptersSEG, adaptersSR } from "@cornerstonejs/adapters";
import { cache, metaData, utilities } from "@cornerstonejs/core";
import { registerDefaultProviders, utilities as metadata } from "@cornerstonejs/metadata";
import dcmjs from "dcmjs";

const bytesOf = (path) => {
    const file = readFileSync(path);
    return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
};

function boxesOf(path, imageIds) {
    const file = dcmjs.data.DicomMessage.readFile(bytesOf(path));
    const dataset = dcmjs.data.DicomMetaDictionary.naturalizeDataset(file.dict);
    const idOfUid = Object.fromEntries(imageIds.map((id) => [`${metaData.get("sopCommonModule", id).sopInstanceUID}:1`, id]));
    const found = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(dataset, idOfUid, metaData);
    return Object.values(found).flatMap((measurements) => measurements.map((measurement) => ({
        uid: measurement.TrackingUniqueIdentifier,
        image: measurement.sopInstanceUid,
        points: measurement.annotation.data.handles.points.map((point) =>
            utilities.worldToImageCoords(measurement.annotation.metadata.referencedImageId, point)),
    })));
}

// OHIF names the image in its general module too, and there the adapters look for it.
const ofViewer = {
    get: (module, id) => module === "generalImageModule"
        ? { ...metaData.get(module, id), ...metaData.get("sopCommonModule", id) }
        : metaData.get(module, id),
};

async function segmentsOf(path, imageIds) {
    const read = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(
        imageIds, bytesOf(path), { metadataProvider: ofViewer });
    const segments = {};
    // One list of label maps, one for each image, of segments that do not overlap; several lists where they do.
    for (const labelMap of read.labelMapImages.flat()) {
        const { rows, columns, referencedImageId } = labelMap;
        const image = metaData.get("sopCommonModule", referencedImageId).sopInstanceUID;
        const labels = labelMap.getPixelData();
        for (const number of new Set(labels)) {
            if (number > 0) {
                const mask = Uint8Array.from(labels, (label) => label === number);
                const sha256 = createHash("sha256").update(mask).digest("hex");
                segments[number] = { image, rows, columns, sha256 };
            }
        }
    }
    return segments;
}

async function attempt(read) {
    try {
        return await read();
    } catch (error) {
        return { error: `${error}` };
    }
}

registerDefaultProviders();
const readings = {};
for (const study of JSON.parse(readFileSync(0, "utf-8")).studies) {
    const imageIds = study.images.map((path) => `dicomfile:${path}`);
    for (const [index, id] of imageIds.entries()) {
        await metadata.addDicomPart10Instance(id, bytesOf(study.images[index]));
    }
    for (const path of study.reports) {
        readings[path] = await attempt(() => ({ boxes: boxesOf(path, imageIds) }));
    }
    for (const path of study.segmentations) {
        readings[path] = await attempt(async () => ({ segments: await segmentsOf(path, imageIds) }));
        cache.purgeCache();
    }
}
console.log(JSON.stringify(readings));
