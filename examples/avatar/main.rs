// SPDX-License-Identifier: MPL-2.0
//! A talking avatar, as an application would embed it: a clip in a loop, live, that says what is sent to it over HTTP.
//!
//!     cargo run --release --example avatar -- --face demo/face.mp4 --rtmp rtmp://localhost/live/avatar
//!     curl --data-binary @demo/voice.wav http://localhost:8090/speech
//!     curl -X POST http://localhost:8090/interrupt
//!     curl http://localhost:8090/stats
//!
//! A speech may be sent while it is made (chunked): it is said from its first sample, and where the sender is late there is
//! silence. It is queued behind what is being said; the answer comes when all of it is in the queue. `--help` lists the outputs.
//!
//! From a request to the place of its first sample in the sound it took 1 to 14 ms (8 in the middle; 40 requests to a machine with
//! two cores that were busy with other things, too), and 7 to 18 ms from an interruption to silence. Viewers are behind that by
//! what the model looks ahead and a frame takes (`latency-ms` in the statistics: 325 for the default model), and by their network.
//!
//! - [`pipeline`]: the picture and the sound that never stop
//! - [`speech`]: the queue of what is to be said
//! - [`sound`]: what a request's body holds, and its conversion
//! - [`server`]: the requests
//! - [`output`]: servers and files, which may fail without the rest

mod options;
mod output;
mod pipeline;
mod server;
mod sound;
mod speech;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use options::Options;
use output::{Output, Target};
use pipeline::Avatar;

/// How long the last frames and the files' ends may take.
const LONGEST_END: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("avatar: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        println!("{}", options::USAGE);
        return Ok(());
    };
    // Ctrl-C ends the avatar in order; a second one at once.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, interrupted.clone()).map_err(|e| e.to_string())?;
        signal_hook::flag::register(signal, interrupted.clone()).map_err(|e| e.to_string())?;
    }
    gst::init().map_err(|e| e.to_string())?;
    gstlipsync::plugin_register_static().map_err(|e| e.to_string())?;
    if options.webrtc.is_some() && gst::ElementFactory::find("webrtcsink").is_none() {
        return Err(
            "--webrtc needs the element webrtcsink, which GStreamer does not find: ./setup.sh --webrtc builds it, \
             GST_PLUGIN_PATH=.deps/webrtc shows where it is"
                .into(),
        );
    }

    if options.webrtc.is_some() {
        run_main_loop()?;
    }

    let targets = options.rtmp.clone().map(Target::Rtmp).into_iter().chain(options.file.clone().map(Target::File));
    let outputs: Vec<_> = targets.map(Output::start).collect();
    let feeds = || outputs.iter().map(|output| output.feed.clone());
    let avatar = Arc::new(Avatar::new(&options, Arc::default(), feeds().collect())?);
    let bus = avatar.pipeline.bus().ok_or("the pipeline has no bus")?;
    let started = avatar.pipeline.set_state(gst::State::Playing);
    started.map_err(|_| error_on(&bus).unwrap_or_else(|| "the pipeline does not start".into()))?;
    let named = outputs.iter().map(|output| output.target.name()).zip(feeds()).collect();
    server::serve(options.listen, avatar.clone(), named)?;
    println!("avatar: listening at http://{}", options.listen);

    let ended = watch(&avatar, &bus, &outputs, &interrupted);
    // Nobody is to wait for a speech that will not be said.
    avatar.speech.clear();
    if ended.is_err() {
        // The outputs get what there is.
        for feed in feeds() {
            feed.end(output::Stream::Picture);
            feed.end(output::Stream::Sound);
        }
    }
    let deadline = Instant::now() + LONGEST_END;
    let finished = outputs.into_iter().map(|output| {
        while !output.is_over() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        if output.is_over() { output.finish() } else { Err(format!("{} has not ended", output.target.name())) }
    });
    // All are waited for before one may fail.
    let finished: Result<(), String> = finished.collect::<Vec<_>>().into_iter().collect();
    let _ = avatar.pipeline.set_state(gst::State::Null);
    finished.and(ended)
}

/// A viewer's sockets and threads are let go on GLib's main loop: without one, those of all who ever came stay.
fn run_main_loop() -> Result<(), String> {
    let thread = std::thread::Builder::new().name("main loop".into());
    thread.spawn(|| gst::glib::MainLoop::new(None, false).run()).map(drop).map_err(|e| e.to_string())
}

/// Until the end of the sound, or something that cannot be helped.
fn watch(avatar: &Avatar, bus: &gst::Bus, outputs: &[Output], interrupted: &AtomicBool) -> Result<(), String> {
    let mut ending = None;
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(100));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => return Ok(()),
            Some(gst::MessageView::Error(error)) => return Err(words(error)),
            Some(gst::MessageView::Warning(warning)) => eprintln!("avatar: {}", warning.error().message()),
            Some(gst::MessageView::Latency(_)) => _ = avatar.pipeline.recalculate_latency(),
            Some(gst::MessageView::Element(message)) => {
                if let Some(event) = message.structure().filter(|s| s.name() == "application/x-lipsync-event") {
                    println!("avatar: {event}");
                }
            }
            _ => {}
        }
        if interrupted.load(Ordering::Relaxed) && ending.is_none() {
            ending = Some(Instant::now());
            avatar.end();
        }
        if ending.is_some_and(|since| since.elapsed() > LONGEST_END) {
            return Err("the pipeline does not end".into());
        }
        // Only files do, before the end: a full disk does not end a broadcast.
        let alone = !avatar.is_watched() && !outputs.is_empty();
        if ending.is_none() && alone && outputs.iter().all(Output::is_over) {
            return Err("no output is left".into());
        }
    }
}

fn error_on(bus: &gst::Bus) -> Option<String> {
    match bus.pop_filtered(&[gst::MessageType::Error])?.view() {
        gst::MessageView::Error(error) => Some(words(error)),
        _ => None,
    }
}

fn words(error: &gst::message::Error) -> String {
    let from = error.src().map_or_else(String::new, |src| format!("{}: ", src.name()));
    format!("{from}{}", error.error().message())
}
