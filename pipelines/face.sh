# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# What a file shows, and how it is made into what GStreamer takes and shows as players do. dub.sh and talker.sh source it after common.sh.
# The folder $work is theirs.

# look FILE: what ffprobe says of the picture and of its first frame; about NAME prints one of these things.
look() {
    facts=$(ffprobe -v quiet -select_streams V:0 -read_intervals '%+#1' -of flat -show_entries "format=format_name,start_time:format_tags=major_brand:\
stream=codec_name,width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,color_transfer,r_frame_rate:stream_tags=alpha_mode:stream_side_data=displaymatrix:\
packet=duration_time:frame=best_effort_timestamp_time:frame_side_data=displaymatrix" "$1")
}
about() { sed -n "s/^\(.*\.\)*$1=\"*\([^\"]*\)\"*$/\2/p" <<< "$facts" | sed -n 1p; }

# The first of ffmpeg's complaints, without the name of the part that has it.
# shellcheck disable=SC2154 # the folder is theirs who source this
complaint() { sed 's/^\[[^]]*\] //;q' "$work/errors"; }
shorter() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'; }

# Whether the file that was looked at is a picture stream without times, as cameras and recorders leave them.
is_raw() {
    case $(about format_name) in
        h264 | hevc | vvc | mpegvideo | m4v | av1 | obu | ivf) [[ $(about format_name) != ivf ]] ;;
        *) false ;;
    esac
}

# Whether ffmpeg knows a colour of that name, #RRGGBB or 0xRRGGBB.
is_colour() { [[ $1 =~ ^(#|0x)?[A-Za-z0-9]+$ ]] && ffmpeg -nostdin -v quiet -f lavfi -i "color=c=$1:s=16x16" -frames:v 1 -f null -; }

# Filters that put a colour behind what is transparent. The box's colours are BT.601's, and no other formats can be filled.
behind() { echo ",format=yuva444p,split[above],drawbox=color=$1:thickness=fill:replace=1[below];[below][above]overlay=format=yuv444"; }

# make_plain FILE NAME PLAIN BACKGROUND RATE [SECONDS]: makes PLAIN of the picture in FILE, which messages call NAME, where GStreamer
# does not take it, or does not show it as players do: with hardly a loss, and no more of it than so many seconds. Says by its status
# whether it had to. BACKGROUND is seen through what is transparent. RATE: frames a second that it gets, empty: as it is. FILE must
# have been looked at.
make_plain() {
    local plain=false filter=setpts=PTS-STARTPTS,bwdif=send_frame:deint=interlaced background=$4 rate=$5 input=() begins=0 first times
    # AVI has no times for B-frames, AVIF is an MP4 without tracks, and many formats of pictures have no decoder.
    case $(about format_name),$(about major_brand) in
        png_pipe,* | jpeg_pipe,* | webp_pipe,*) ;;
        avi,* | gif,* | apng,* | *_pipe,* | *,avif) plain=true ;;
    esac
    if is_raw; then
        plain=true
        # Of H.264, ffmpeg 7 tells how many fields a second it has; of all, it knows how long a frame lasts.
        times=$(about r_frame_rate)
        awk -v rate="${times%/*}" -v per="${times#*/}" -v lasts="$(about duration_time)" 'BEGIN { exit lasts * rate / per > 1.5 }' || times=${times%/*}/$((2 * ${times#*/}))
        input=(-fflags +genpts -r "$times")
        say "$2 has no times in it: taken at $times frames a second"
    fi
    case $(about pix_fmt) in
        rgba* | bgra* | argb | abgr | ya8 | ya16?? | yuva* | gbrap* | pal8) plain=true ;;
        yuv???p | yuvj???p | yuv???p10le | nv12 | rgb24) background='' ;;
        *) plain=true background='' ;;
    esac
    if [ -n "$(about alpha_mode)" ]; then plain=true background=$4; fi
    # A picture that does not begin at once, or not with a key frame: no frame is in the first packet then.
    [[ $(about format_name) != mpeg* ]] || begins=$(about format.start_time)
    first=$(about best_effort_timestamp_time)
    shorter "${first:-1e9}" "$(awk -v t="$begins" 'BEGIN { print t + 0.05 }')" || plain=true
    # HDR: its light in nits, then as a picture whose white is paper.
    # And videoconvert leaves a full range as it is where only that is to change.
    case $(about color_transfer),$(about pix_fmt),$(about color_range) in
        smpte2084,* | arib-std-b67,*)
            plain=true
            filter+=,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius,zscale=t=bt709:m=bt709:r=tv
            ;;
        *,yuv*,pc | *,gray*,pc)
            plain=true
            filter+=,scale=out_range=tv
            ;;
        *,*rgb*,* | *,*bgr*,* | *,gbr*,* | *,pal8,*)
            filter+=,scale=out_color_matrix=bt601:out_range=tv
            [ -z "$background" ] || filter+=$(behind "$background")
            background=''
            filter+=,scale=in_color_matrix=bt601:out_color_matrix=bt709:in_range=tv:out_range=tv,setparams=colorspace=bt709
            ;;
    esac
    [ -z "$rate" ] || plain=true
    $plain || return 1
    [ -z "$rate" ] || filter+=,fps=$rate
    [ -z "$background" ] || filter+=$(behind "$background")
    # VP8 and VP9 hide their transparency from any but the right decoder.
    case $(about codec_name),$(about alpha_mode) in
        vp8,?* | vp9,?*) input+=(-c:v "libvpx$([ "$(about codec_name)" = vp8 ] || echo -vp9)") ;;
    esac
    # The last frame lasts as long as the one before: setpts forgets how long frames last.
    local lasting='setts=duration=if(isnan(PREV_INPTS)\,DURATION\,PTS-PREV_INPTS)'
    times=(-vsync passthrough -enc_time_base -1)
    # Some formats' time base is as slow as they are.
    [ -z "$rate" ] || times=(-vsync passthrough)
    # One frame is a still picture, whatever is said of its rate.
    [ "$(frames_of "$1")" -gt 1 ] || times=(-frames:v 1 -r 25) filter=${filter%,fps=*}
    run ffmpeg -nostdin -v error "${input[@]}" -i "$1" -filter_complex "[V:0]$filter,format=yuv444p[plain]" \
        -map '[plain]' ${6:+-t "$6"} "${times[@]}" -c:v libx264 -preset ultrafast -crf 4 -bsf:v "$lasting" -f mp4 "$3" 2> "$work/errors" ||
        fail "$2 cannot be read, is it damaged? $(complaint)"
}

# How the picture that was looked at is turned: the signs of the matrix that players apply, of the file or of a JPEG's EXIF.
direction() {
    case $(about displaymatrix | sed 's/\\n/ /g' | awk '{ print sign($2) sign($3) sign($6) sign($7) } function sign(x) { return x > 0 ? "+" : x < 0 ? "-" : "0" }') in
        0+-0) echo 90r ;;
        -00-) echo 180 ;;
        0-+0) echo 90l ;;
        -00+) echo horiz ;;
        +00-) echo vert ;;
        0++0) echo ul-lr ;;
        0--0) echo ur-ll ;;
        *) echo identity ;;
    esac
}

# Frames a second that a picture needs which has so many in so many seconds, where it is too slow for lips: 25. Empty: it is not.
faster() { [ "$1" -le 1 ] || ! shorter "$(awk -v n="$1" -v t="$2" 'BEGIN { print (t > 0 ? n / t : 25) }')" 24.5 || echo 25; }

# Seconds from the first to the end of the last packet of a stream ("V:0": pictures, but not a cover; "a:0": sound).
# Counted, because what a file's header says is missing in some files and wrong in those cut short. Where the last one does not say how
# long it lasts, it is taken to last as long as they do in the mean.
seconds_of() {
    ffprobe -v quiet -select_streams "$2" -show_entries packet=pts_time,duration_time -of csv=p=0 "$1" |
        awk -F, '$1 + 0 == $1 { if (!n++ || $1 < first) first = $1; if ($1 >= last) { last = $1; said = $2 + 0 }; if ($1 + $2 > end) end = $1 + $2 }
            END { if (n > 1 && !said && end <= last) end = last + (last - first) / (n - 1); printf "%.6f\n", end - first }'
}
frames_of() { ffprobe -v quiet -select_streams V:0 -show_entries packet=size -of csv=p=0 "$1" | wc -l; }

# The size of the picture that was looked at, in square pixels, with even numbers, as caps say it.
square_size() {
    local shape
    shape=$(about sample_aspect_ratio)
    [[ $shape =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || shape=1:1
    awk -v w="$(about width)" -v h="$(about height)" -v shape="$shape" 'BEGIN {
        split(shape, par, ":")
        wide = w * par[1] / par[2]
        tall = h
        more = wide > tall ? wide : tall
        if (more > 8192) { wide *= 8192 / more; tall *= 8192 / more }
        if (wide < 16) wide = 16
        if (tall < 16) tall = 16
        printf "width=%d,height=%d", 2 * int(wide / 2 + 0.01), 2 * int(tall / 2 + 0.01)
    }'
}
