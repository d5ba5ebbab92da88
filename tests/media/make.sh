#!/usr/bin/env bash
# Makes the clips of this folder and mist-server/assets/demo.flv. The results are committed: run it only to change them.
#
# Needs ffmpeg with libx264, libx265, libmp3lame and libopus (Debian 12's 5.1.9 made what is here), the font DejaVu Sans,
# and for the clips of enhanced RTMP a newer libav than Debian's: `pip install av` (18.1.0, libavformat 62, was used).
set -euo pipefail
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Same input, same bytes, with the same ffmpeg: no version strings, no threads' choices.
ff() { ffmpeg -v error -y -bitexact -threads 1 "$@"; }

# ---- the demo: 16 s that loop without a seam -------------------------------------------------------------------
# Background and melody have a period of 16 s, 400 frames at 25/s and 750 AAC frames at 48 kHz are exactly as long,
# and the audio is the second of three periods, so that the encoder's state at its end fits its beginning.
demo() {
  local d=16 font
  font=$(fc-match -f '%{file}' 'DejaVu Sans')
  local text="drawtext=fontfile=$font:fontcolor=white"
  ff -f lavfi -i "color=black:s=320x180:r=25:d=$d,format=yuv420p,geq=\
lum='82+34*sin(2*PI*(X/320+T/$d))*cos(2*PI*(Y/180-T/$d))+28*sin(2*PI*(X/450+Y/250+2*T/$d))':\
cb='128+34*sin(2*PI*(X/175-T/$d))':cr='128+26*cos(2*PI*(Y/105+X/250+T/$d))',scale=640:360:flags=bicubic,\
$text:text='mist':fontsize=96:x=(w-tw)/2:y=66,\
$text:text='%{pts\\:hms}':fontsize=40:x=176:y=186,\
$text:text='640×360 · 25 fps · H.264 and AAC · frame %{frame_num}':fontsize=15:alpha=0.8:x=138:y=250,\
drawbox=x=60:y=310:w=520:h=6:color=white@0.25:t=fill" \
    -f lavfi -i "color=white:s=12x12:r=25:d=$d" \
    -filter_complex "[0:v][1:v]overlay=x='60+508*t/$d':y=307" \
    -c:v libx264 -profile:v main -preset veryslow -crf 24 -maxrate 420k -bufsize 840k \
    -g 50 -keyint_min 50 -sc_threshold 0 -bf 2 -x264-params open-gop=0 -pix_fmt yuv420p "$tmp/v.mp4"
  # An arpeggio of eight notes, half a second each, over a bass that changes every four seconds; each note fades out.
  local note="st(0,mod(t,16)); st(1,floor(ld(0)/4)); st(2,mod(floor(ld(0)*2),8)); st(3,mod(ld(0),0.5));\
 st(4,110*pow(2,(if(eq(ld(1),0),0,if(eq(ld(1),1),-4,if(eq(ld(1),2),3,-2))))/12));\
 st(5,ld(4)*pow(2,(if(eq(ld(2),0),12,if(eq(ld(2),1),19,if(eq(ld(2),2),24,if(eq(ld(2),3),28,if(eq(ld(2),4),31,\
 if(eq(ld(2),5),28,if(eq(ld(2),6),24,19))))))))/12));"
  local env="exp(-6*ld(3))*min(1,ld(3)*200)"
  local left="$note 0.16*sin(2*PI*ld(5)*t)*$env+0.05*sin(4*PI*ld(5)*t)*$env+0.10*sin(2*PI*round(ld(4)*16)/16*t)"
  local right="$note 0.11*sin(2*PI*ld(5)*t)*$env+0.07*sin(4*PI*ld(5)*t)*$env+0.10*sin(2*PI*round(ld(4)*16)/16*t)"
  ff -f lavfi -i "aevalsrc='$left|$right':s=48000:d=48" -c:a aac -b:a 64k -f adts "$tmp/a.aac"
  python3 - "$tmp/a.aac" "$tmp/loop.aac" <<'PY'
import sys
data, frames, at = open(sys.argv[1], "rb").read(), [], 0
while at < len(data):
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    frames.append(data[at : at + size])
    at += size
# One frame of encoder delay: frame k holds the samples before 1024 k.
open(sys.argv[2], "wb").write(b"".join(frames[751:1501]))
PY
  ff -i "$tmp/v.mp4" -i "$tmp/loop.aac" -map 0:v -map 1:a -c copy -bsf:a aac_adtstoasc ../../mist-server/assets/demo.flv
}

# ---- tiny clips, each named after what it is for -----------------------------------------------------------------
video() { echo "-f lavfi -i testsrc2=s=192x108:r=25:d=$1"; }
audio() { echo "-f lavfi -i sine=f=440:r=48000:d=$1"; }
x264="-c:v libx264 -profile:v main -preset veryfast -b:v 90k -g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p"
aac="-c:a aac -b:a 32k -ac 1"

clips() {
  # shellcheck disable=SC2046,SC2086
  {
    ff $(video 6) $(audio 6) $x264 -bf 3 -x264-params b-pyramid=normal $aac bframes.flv
    ff $(video 6) $x264 -bf 0 -an video-only.flv
    ff $(audio 6) $aac -vn audio-only.flv
    ff $(video 8) -itsoffset 2.5 $(audio 5) $x264 -bf 2 $aac late-audio.flv
    ff -itsoffset 2.5 $(video 5) $(audio 8) $x264 -bf 2 $aac late-video.flv
    ff $(video 4) $(audio 4) $x264 -bf 0 -c:a libmp3lame -ar 44100 -b:a 32k -ac 1 h264-mp3.flv
    ff $(video 4) $(audio 4) -c:v mpeg2video -b:v 150k -bf 2 -g 25 -c:a mp2 -b:a 48k mpeg2-mp2.ts
    ff $(video 4) $(audio 4) $x264 -bf 2 -c:a ac3 -b:a 48k h264-ac3.ts
    ff $(video 4) $(audio 4) $x264 -bf 2 $aac -mpegts_flags latm h264-latm.ts
    ff $(video 4) $(audio 4) $x264 -bf 0 -c:a libopus -b:a 32k h264-opus.ts
    ff $(video 4) $(audio 4) -c:v libx265 -preset veryfast -b:v 90k -x265-params log-level=error:keyint=50:info=0:pools=none -pix_fmt yuv420p \
      -c:a eac3 -b:a 48k hevc-eac3.ts
  }
}

# Enhanced RTMP's FourCCs, which Debian's ffmpeg can neither write nor read.
enhanced() {
  # shellcheck disable=SC2046,SC2086
  {
    ff $(video 4) -c:v libx265 -preset veryfast -b:v 90k -x265-params log-level=error:keyint=50:info=0:pools=none -pix_fmt yuv420p "$tmp/hevc.mp4"
    ff $(video 4) $x264 -bf 2 "$tmp/h264.mp4"
    ff $(audio 4) $aac "$tmp/aac.mp4"
    ff $(audio 4) -c:a libopus -b:a 32k "$tmp/opus.mkv"
    ff $(audio 4) -c:a ac3 -b:a 48k "$tmp/ac3.mp4"
    ff $(audio 4) -c:a flac "$tmp/flac.mkv"
  }
  python3 - "$tmp" <<'PY'
import sys, av
tmp = sys.argv[1]

def av1(path):
    with av.open(path, "w") as out:
        stream = out.add_stream("libsvtav1", rate=25, options={"preset": "12", "crf": "50", "svtav1-params": "keyint=50:lp=1"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        with av.open(f"{tmp}/h264.mp4") as source:
            for frame in source.decode(video=0):
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))

def join(video, audio, path):
    inputs = [av.open(f"{tmp}/{name}") for name in (video, audio)]
    with av.open(path, "w", format="flv", options={"fflags": "+bitexact"}) as out:
        streams = [out.add_stream_from_template(i.streams[0], opaque=True) for i in inputs]
        packets = [p for n, i in enumerate(inputs) for p in i.demux() if p.dts is not None and (setattr(p, "stream", streams[n]) or True)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)

av1(f"{tmp}/av1.mp4")
join("hevc.mp4", "aac.mp4", "enhanced-hevc-aac.flv")
join("av1.mp4", "opus.mkv", "enhanced-av1-opus.flv")
join("h264.mp4", "ac3.mp4", "enhanced-h264-ac3.flv")
join("h264.mp4", "flac.mkv", "enhanced-h264-flac.flv")
PY
}

# What an encoder says to a server, and the other way round.
dialogue() {
  # shellcheck disable=SC2086
  python3 record.py rtsp-record -f lavfi -i testsrc=size=64x64:rate=10:duration=2 -f lavfi -i sine=duration=2:sample_rate=16000 \
    $x264 -bf 2 -g 10 -crf 45 -c:a aac -b:a 12k
}

for part in "${@:-demo clips enhanced dialogue}"; do for p in $part; do "$p"; done; done
ls -l ../../mist-server/assets/demo.flv ./*.flv ./*.ts ./*.bin
