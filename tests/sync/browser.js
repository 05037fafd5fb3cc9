// SPDX-License-Identifier: MPL-2.0
// Runs in a page with a <video> that plays WebRTC, and its RTCPeerConnection in the variable `peer`. Notes when each frame is shown, in
// seconds of the system's clock, and how bright it is in 16 × 9 places. measured() returns that.
(async () => {
    const video = document.querySelector('video')
    for (let tries = 0; !video.srcObject?.getAudioTracks().length || !video.videoWidth || video.paused; tries++) {
        if (tries === 400) throw new Error('20 s without a playing video')
        await new Promise(done => setTimeout(done, 50))
    }
    const frames = [], own = []
    const canvas = new OffscreenCanvas(16, 9)
    const pencil = canvas.getContext('2d', {willReadFrequently: true})
    let presented = 0
    const frame = (_, about) => {
        pencil.drawImage(video, 0, 0, 16, 9)
        const pixels = pencil.getImageData(0, 0, 16, 9).data
        frames.push([(performance.timeOrigin + about.expectedDisplayTime) / 1000, Array.from({length: 144}, (_, k) => pixels[4 * k + 1])])
        presented = about.presentedFrames
        video.requestVideoFrameCallback(frame)
    }
    video.requestVideoFrameCallback(frame)

    // What the browser thinks that it plays now, in ms of the sender's clock: how much further the picture is than the sound.
    setInterval(async () => {
        const playing = {}
        for (const about of (await peer.getStats()).values())
            if (about.type === 'inbound-rtp' && about.estimatedPlayoutTimestamp) playing[about.kind] = about.estimatedPlayoutTimestamp
        if (playing.audio && playing.video) own.push(playing.video - playing.audio)
    }, 500)
    window.measured = () => ({frames, presented, own})
})()
