# The workbook on Debian. docker build -t softmask . && docker run --rm -p 8888:8888 softmask
FROM debian:12-slim

# git; what builds pyradiomics: a C compiler and the headers of Python; pip, which fetches uv
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc git libc6-dev python3-dev python3-pip

WORKDIR /softmask
COPY . .

# sets the environment up from requirements.lock, and runs the first notebook to see that it works
RUN ./run_all.sh --profile smoke --only 01

EXPOSE 8888
CMD ["./run_all.sh", "--lab", "--ip=0.0.0.0", "--no-browser", "--allow-root"]
