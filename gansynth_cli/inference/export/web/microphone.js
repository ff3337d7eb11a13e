// In the audio thread: hands the microphone on in blocks of a hop, and plays what comes back.
"use strict";

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { hop } }) {
    super();
    this.block = new Float32Array(hop);
    this.filled = 0;
    this.waiting = []; // blocks to play
    this.place = 0;
    this.started = false;
    this.port.onmessage = ({ data }) => this.waiting.push(data);
  }

  process([input], [output]) {
    const heard = input[0];
    for (let n = 0; heard && n < heard.length; n++) {
      this.block[this.filled++] = heard[n];
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block.slice());
        this.filled = 0;
      }
    }
    // Two blocks in advance, so that a late answer is no gap; a backlog above eight is dropped, so that the delay stays small.
    if (!this.started && this.waiting.length >= 2) this.started = true;
    if (this.waiting.length > 8) this.waiting.splice(0, this.waiting.length - 2);
    for (let n = 0; this.started && n < output[0].length; n++) {
      if (!this.waiting.length) {
        this.started = false;
        break;
      }
      for (const channel of output) channel[n] = this.waiting[0][this.place];
      if (++this.place === this.waiting[0].length) {
        this.waiting.shift();
        this.place = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
