#include "emulator/hostio/sdl_window.hpp"

#include "emulator/hostio/sdl_keys.hpp"

#include <SDL.h>
#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <langinfo.h>
#include <set>

namespace emu::hostio {

namespace {

using namespace std::chrono_literals;

constexpr u32 kFirstWidth = 720;
constexpr u32 kFirstHeight = 400;

/// SDL's objects and the loop around them; lives on the window's thread only.
class Window {
public:
    Window(DisplayFeed& feed, GuestInput& input, const WindowOptions& options)
        : feed_{feed}, input_{input}, options_{options}
    {}
    ~Window();

    bool open(std::string& error);
    void step();

private:
    void handle(const SDL_Event& event);
    bool hot_key(const SDL_KeyboardEvent& event);
    void key(const SDL_KeyboardEvent& event);
    void button(u8 sdl_button, bool down);
    void release_all();
    void grab(bool on);
    void show(const ScreenShot& shot);
    void draw();
    void fit_window();
    void update_title();

    DisplayFeed& feed_;
    GuestInput& input_;
    const WindowOptions& options_;
    SDL_Window* window_ = nullptr;
    SDL_Renderer* renderer_ = nullptr;
    SDL_Texture* texture_ = nullptr;
    u32 width_ = kFirstWidth;
    u32 height_ = kFirstHeight;
    std::shared_ptr<const ScreenShot> shown_;
    std::set<KeyCode> held_;
    u8 buttons_ = 0;
    bool grabbed_ = false;
    bool full_screen_ = false;
    bool resized_by_user_ = false;
    std::string title_;
};

Window::~Window()
{
    SDL_DestroyTexture(texture_);
    SDL_DestroyRenderer(renderer_);
    SDL_DestroyWindow(window_);
    SDL_Quit();
}

bool Window::open(std::string& error)
{
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    SDL_SetHint(SDL_HINT_GRAB_KEYBOARD, "1");
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    if (SDL_Init(SDL_INIT_VIDEO) != 0) {
        error = SDL_GetError();
        return false;
    }
    // With no display at hand SDL falls back to drivers that show nothing.
    const std::string driver = SDL_GetCurrentVideoDriver();
    if ((driver == "dummy" || driver == "offscreen") && SDL_getenv("SDL_VIDEODRIVER") == nullptr) {
        error = "there is no display (neither DISPLAY nor WAYLAND_DISPLAY leads to one)";
        return false;
    }
    window_ = SDL_CreateWindow("Menagerie", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED,
                               kFirstWidth, kFirstHeight, SDL_WINDOW_RESIZABLE);
    renderer_ = window_ == nullptr ? nullptr : SDL_CreateRenderer(window_, -1, 0);
    if (renderer_ == nullptr && window_ != nullptr) {
        renderer_ = SDL_CreateRenderer(window_, -1, SDL_RENDERER_SOFTWARE);
    }
    if (renderer_ == nullptr) {
        error = SDL_GetError();
        return false;
    }
    SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    if (options_.full_screen) {
        full_screen_ = true;
        SDL_SetWindowFullscreen(window_, SDL_WINDOW_FULLSCREEN_DESKTOP);
    }
    SDL_StopTextInput();
    update_title();
    draw();
    return true;
}

void Window::step()
{
    SDL_Event event;
    if (SDL_WaitEventTimeout(&event, 10) == 1) {
        do {
            handle(event);
        } while (SDL_PollEvent(&event) == 1);
    }
    const auto next = feed_.latest();
    if (next && next != shown_) {
        show(*next);
        shown_ = next;
        update_title();
        draw();
    }
}

void Window::handle(const SDL_Event& event)
{
    switch (event.type) {
    case SDL_QUIT:
        options_.on_quit();
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        key(event.key);
        break;
    case SDL_MOUSEMOTION:
        if (grabbed_) {
            input_.mouse(event.motion.xrel, event.motion.yrel, 0, buttons_);
        }
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        if (!grabbed_ && event.type == SDL_MOUSEBUTTONDOWN) {
            grab(true);
        } else {
            button(event.button.button, event.type == SDL_MOUSEBUTTONDOWN);
        }
        break;
    case SDL_MOUSEWHEEL:
        if (grabbed_) {
            input_.mouse(0, 0, event.wheel.y, buttons_);
        }
        break;
    case SDL_WINDOWEVENT:
        if (event.window.event == SDL_WINDOWEVENT_FOCUS_LOST) {
            release_all();
            grab(false);
        } else if (event.window.event == SDL_WINDOWEVENT_RESIZED) {
            resized_by_user_ = !full_screen_;
            draw();
        } else if (event.window.event == SDL_WINDOWEVENT_EXPOSED) {
            draw();
        }
        break;
    default:
        break;
    }
}

bool Window::hot_key(const SDL_KeyboardEvent& event)
{
    const bool chord = (event.keysym.mod & KMOD_CTRL) != 0 && (event.keysym.mod & KMOD_ALT) != 0;
    if (!chord || event.type != SDL_KEYDOWN || event.repeat != 0) {
        return false;
    }
    switch (event.keysym.scancode) {
    case SDL_SCANCODE_G:
        grab(!grabbed_);
        break;
    case SDL_SCANCODE_F:
        full_screen_ = !full_screen_;
        SDL_SetWindowFullscreen(window_, full_screen_ ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
        break;
    case SDL_SCANCODE_U:
        resized_by_user_ = false;
        fit_window();
        break;
    default:
        return false;
    }
    release_all(); // the guest must not be left with Ctrl and Alt held
    return true;
}

void Window::key(const SDL_KeyboardEvent& event)
{
    if (hot_key(event)) {
        return;
    }
    const auto code = sdl_key(event.keysym.scancode);
    if (!code) {
        return;
    }
    const bool down = event.type == SDL_KEYDOWN;
    if (down) {
        held_.insert(*code); // the host repeats; so does a PC keyboard
    } else if (held_.erase(*code) == 0) {
        return;
    }
    input_.key(*code, down);
}

void Window::button(u8 sdl_button, bool down)
{
    u8 mask = 0;
    if (sdl_button == SDL_BUTTON_LEFT) {
        mask = static_cast<u8>(MouseButton::left);
    } else if (sdl_button == SDL_BUTTON_RIGHT) {
        mask = static_cast<u8>(MouseButton::right);
    } else if (sdl_button == SDL_BUTTON_MIDDLE) {
        mask = static_cast<u8>(MouseButton::middle);
    }
    const u8 buttons = static_cast<u8>(down ? buttons_ | mask : buttons_ & ~mask);
    if (buttons != buttons_) {
        buttons_ = buttons;
        input_.mouse(0, 0, 0, buttons_);
    }
}

void Window::release_all()
{
    for (const KeyCode code : held_) {
        input_.key(code, false);
    }
    held_.clear();
    if (buttons_ != 0) {
        buttons_ = 0;
        input_.mouse(0, 0, 0, 0);
    }
}

void Window::grab(bool on)
{
    if (grabbed_ != on) {
        grabbed_ = on;
        SDL_SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE);
        SDL_SetWindowGrab(window_, on ? SDL_TRUE : SDL_FALSE);
        update_title();
    }
}

void Window::show(const ScreenShot& shot)
{
    const Frame& frame = shot.frame;
    if (frame.width == 0 || frame.height == 0 ||
        frame.pixels.size() < std::size_t{frame.width} * frame.height) {
        return;
    }
    const bool new_size = texture_ == nullptr || frame.width != width_ || frame.height != height_;
    if (new_size) {
        SDL_DestroyTexture(texture_);
        width_ = frame.width;
        height_ = frame.height;
        texture_ = SDL_CreateTexture(renderer_, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                     static_cast<int>(width_), static_cast<int>(height_));
        fit_window();
    }
    if (texture_ != nullptr) {
        SDL_UpdateTexture(texture_, nullptr, frame.pixels.data(), static_cast<int>(width_ * 4));
    }
}

void Window::fit_window()
{
    if (full_screen_ || resized_by_user_) {
        return;
    }
    int w = static_cast<int>(width_);
    int h = static_cast<int>(height_);
    SDL_Rect usable{};
    const int display = SDL_GetWindowDisplayIndex(window_);
    if (display < 0 || SDL_GetDisplayUsableBounds(display, &usable) != 0) {
        SDL_SetWindowSize(window_, w, h);
        return;
    }
    // A mode larger than the first one must not reach over the edge of the display.
    w = std::min(w, usable.w);
    h = std::min(h, usable.h);
    SDL_SetWindowSize(window_, w, h);
    int x = 0;
    int y = 0;
    SDL_GetWindowPosition(window_, &x, &y);
    const int fitting_x = std::clamp(x, usable.x, usable.x + usable.w - w);
    const int fitting_y = std::clamp(y, usable.y, usable.y + usable.h - h);
    if (fitting_x != x || fitting_y != y) {
        SDL_SetWindowPosition(window_, fitting_x, fitting_y);
    }
}

/// The picture keeps its shape; what is left of the window is black.
void Window::draw()
{
    SDL_SetRenderDrawColor(renderer_, 0, 0, 0, 255);
    SDL_RenderClear(renderer_);
    if (texture_ != nullptr) {
        int w = 0;
        int h = 0;
        SDL_GetRendererOutputSize(renderer_, &w, &h);
        const double scale =
            std::min(static_cast<double>(w) / width_, static_cast<double>(h) / height_);
        SDL_Rect target{};
        target.w = std::max(1, static_cast<int>(width_ * scale));
        target.h = std::max(1, static_cast<int>(height_ * scale));
        target.x = (w - target.w) / 2;
        target.y = (h - target.h) / 2;
        SDL_RenderCopy(renderer_, texture_, nullptr, &target);
    }
    SDL_RenderPresent(renderer_);
}

void Window::update_title()
{
    const std::string state = shown_ ? shown_->state : "starting";
    std::string title = "Menagerie — " + options_.name + " [" + state + "]";
    if (shown_) {
        title += " " + shown_->mode;
    }
    if (grabbed_) {
        title += " — Ctrl+Alt+G frees the mouse";
    }
    if (title != title_) {
        title_ = title;
        SDL_SetWindowTitle(window_, title_.c_str());
    }
}

} // namespace

namespace {

/// SDL converts titles by the environment's locale, and in the plain C locale cuts them at the
/// first character that is not ASCII.
void ensure_utf8_locale()
{
    std::setlocale(LC_CTYPE, "");
    if (std::string_view{::nl_langinfo(CODESET)} != "UTF-8") {
        ::setenv("LC_ALL", "C.UTF-8", 1);
    }
    std::setlocale(LC_CTYPE, "C");
}

} // namespace

base::Result<std::unique_ptr<SdlWindow>> SdlWindow::open(DisplayFeed& feed, GuestInput& input,
                                                         WindowOptions options)
{
    ensure_utf8_locale();
    std::unique_ptr<SdlWindow> window{new SdlWindow{feed, input, std::move(options)}};
    window->start_.wait(Start::pending);
    if (window->start_ == Start::failed) {
        return base::fail(base::Errc::io, "cannot open a window: " + window->error_ +
                                              " (-display none or --display text need none)");
    }
    return window;
}

SdlWindow::SdlWindow(DisplayFeed& feed, GuestInput& input, WindowOptions options)
    : feed_{feed}, input_{input}, options_{std::move(options)}, thread_{[this] { run(); }}
{}

SdlWindow::~SdlWindow()
{
    stopping_ = true;
    thread_.join();
}

void SdlWindow::run()
{
    Window window{feed_, input_, options_};
    const bool opened = window.open(error_);
    start_ = opened ? Start::done : Start::failed;
    start_.notify_all();
    while (opened && !stopping_) {
        window.step();
    }
}

} // namespace emu::hostio
