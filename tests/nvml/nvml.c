/* A stand-in for NVIDIA's libnvidia-ml.so.1: it answers from the text file named by NVML_STANDIN.
 *
 *   init CODE                   what nvmlInit returns (0 = success), or -1 to hang
 *   driver VERSION CUDA         e.g. driver 550.54.14 12040
 *   gpu CODE|UUID|NAME|MAJOR|MINOR|TOTAL|FREE|BUSY|TEMPERATURE|PCI|CLOCK|THROTTLE|ECC
 *   proc GPU|PID|BYTES|NAME     a process on that GPU
 *   mig GPU|UUID|NAME|TOTAL|FREE
 *
 * CODE is the nvmlReturn_t of nvmlDeviceGetHandleByIndex. A TOTAL of 0 means "not supported", as unified-memory
 * boards answer. Structure layouts and return codes are those of NVIDIA's nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { MOST = 32, WORDS = 13 };

typedef unsigned long long u64;
typedef struct { int code, major, minor, busy, temperature, clock, ecc; u64 total, free, throttle; char uuid[96], name[96], pci[32]; } gpu_t;
typedef struct { int gpu; unsigned pid; u64 bytes; char name[96]; } proc_t;
typedef struct { int gpu; u64 total, free; char uuid[96], name[96]; } mig_t;

static int init_code, cuda, gpus, procs, migs;
static char driver[80];
static gpu_t gpu[MOST];
static proc_t proc[MOST];
static mig_t mig[MOST];

static void split(char *line, char *word[WORDS]) {
    for (int i = 0; i < WORDS; i++) word[i] = "";
    for (int i = 0; i < WORDS && line; i++) word[i] = strsep(&line, "|");
}

static void copy(char *to, const char *from, size_t size) { snprintf(to, size, "%s", from); }

static void load(void) {
    char line[512], *word[WORDS];
    const char *path = getenv("NVML_STANDIN");
    FILE *file = path ? fopen(path, "r") : NULL;
    init_code = file ? 0 : 9; /* driver not loaded */
    gpus = procs = migs = 0;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "init ", 5)) init_code = atoi(line + 5);
        else if (!strncmp(line, "driver ", 7)) sscanf(line + 7, "%79s %d", driver, &cuda);
        else if (!strncmp(line, "gpu ", 4) && gpus < MOST) {
            gpu_t *g = &gpu[gpus++];
            split(line + 4, word);
            g->code = atoi(word[0]); copy(g->uuid, word[1], sizeof g->uuid); copy(g->name, word[2], sizeof g->name);
            g->major = atoi(word[3]); g->minor = atoi(word[4]);
            g->total = strtoull(word[5], 0, 10); g->free = strtoull(word[6], 0, 10);
            g->busy = atoi(word[7]); g->temperature = atoi(word[8]); copy(g->pci, word[9], sizeof g->pci);
            g->clock = atoi(word[10]); g->throttle = strtoull(word[11], 0, 0); g->ecc = atoi(word[12]);
        } else if (!strncmp(line, "proc ", 5) && procs < MOST) {
            proc_t *p = &proc[procs++];
            split(line + 5, word);
            p->gpu = atoi(word[0]); p->pid = (unsigned)atoi(word[1]); p->bytes = strtoull(word[2], 0, 10);
            copy(p->name, word[3], sizeof p->name);
        } else if (!strncmp(line, "mig ", 4) && migs < MOST) {
            mig_t *m = &mig[migs++];
            split(line + 4, word);
            m->gpu = atoi(word[0]); copy(m->uuid, word[1], sizeof m->uuid); copy(m->name, word[2], sizeof m->name);
            m->total = strtoull(word[3], 0, 10); m->free = strtoull(word[4], 0, 10);
        }
    }
    if (file) fclose(file);
}

/* A handle points to a gpu_t or to a mig_t. */
static mig_t *as_mig(void *handle) {
    return handle >= (void *)mig && handle < (void *)(mig + MOST) ? handle : NULL;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    load();
    if (init_code < 0) sleep(600);
    return init_code;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) { copy(version, driver, size); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = cuda; return cuda ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)gpus; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if ((int)index >= gpus) return INVALID_ARGUMENT;
    *handle = &gpu[index];
    return gpu[index].code;
}
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned size) {
    mig_t *m = as_mig(handle);
    copy(uuid, m ? m->uuid : ((gpu_t *)handle)->uuid, size);
    return OK;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned size) {
    mig_t *m = as_mig(handle);
    copy(name, m ? m->name : ((gpu_t *)handle)->name, size);
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    gpu_t *g = handle;
    *major = g->major; *minor = g->minor;
    return OK;
}
int nvmlDeviceGetMemoryInfo(void *handle, u64 info[3]) {
    mig_t *m = as_mig(handle);
    u64 total = m ? m->total : ((gpu_t *)handle)->total, unused = m ? m->free : ((gpu_t *)handle)->free;
    info[0] = total; info[1] = unused; info[2] = total - unused;
    return total ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned rates[2]) {
    int busy = ((gpu_t *)handle)->busy;
    rates[0] = (unsigned)busy; rates[1] = 0;
    return busy < 0 ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = (unsigned)((gpu_t *)handle)->temperature;
    return OK;
}
int nvmlDeviceGetClockInfo(void *handle, unsigned kind, unsigned *mhz) {
    (void)kind;
    *mhz = (unsigned)((gpu_t *)handle)->clock;
    return *mhz ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, u64 *reasons) {
    *reasons = ((gpu_t *)handle)->throttle;
    return OK;
}
int nvmlDeviceGetTotalEccErrors(void *handle, unsigned kind, unsigned counter, u64 *count) {
    (void)kind; (void)counter;
    if (((gpu_t *)handle)->ecc < 0) return NOT_SUPPORTED;
    *count = (u64)((gpu_t *)handle)->ecc;
    return OK;
}
int nvmlDeviceGetPciInfo_v3(void *handle, char *info) {
    memset(info, 0, 68);
    copy(info + 36, ((gpu_t *)handle)->pci, 32); /* busId lies behind busIdLegacy[16] and five 32-bit numbers */
    return OK;
}

typedef struct { unsigned pid; u64 bytes; unsigned gpu_instance, compute_instance; } running_t;

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, running_t *list) {
    unsigned found = 0, room = *count;
    for (int i = 0; i < procs; i++) {
        if (&gpu[proc[i].gpu] != handle) continue;
        if (list && found < room) list[found] = (running_t){proc[i].pid, proc[i].bytes, ~0u, ~0u};
        found++;
    }
    *count = found;
    return list || !found ? OK : INSUFFICIENT_SIZE;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, running_t *list) {
    (void)handle; (void)list;
    *count = 0;
    return OK;
}
int nvmlSystemGetProcessName(unsigned pid, char *name, unsigned size) {
    for (int i = 0; i < procs; i++)
        if (proc[i].pid == pid) { copy(name, proc[i].name, size); return OK; }
    return NOT_FOUND;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    *current = *pending = 0;
    for (int i = 0; i < migs; i++)
        if (&gpu[mig[i].gpu] == handle) *current = *pending = 1;
    return ((gpu_t *)handle)->major < 8 ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) { (void)handle; *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **part) {
    for (int i = 0, seen = 0; i < migs; i++)
        if (&gpu[mig[i].gpu] == handle && seen++ == (int)index) { *part = &mig[i]; return OK; }
    return NOT_FOUND;
}
